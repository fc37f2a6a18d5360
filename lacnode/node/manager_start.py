"""Opens the transaction manager of a node with private transactions: one behind a URL, or one in its own process.

Must not keep payloads itself. A failing manager stops the start or the private side, and no other part.
"""

from lacnode.node.configuration import PrivacySettings
from lacnode.node.opened_manager import ManagerStartError, OpenedManager
from lacnode.privacy.manager.key_files import PrivacyKeyError
from lacnode.privacy.manager.sql_database import StoreError
from lacnode.privacy.service.enclave_tls import EnclaveTls
from lacnode.privacy.service.fingerprints import TlsSetupError
from lacnode.privacy.service.http_manager import HttpTransactionManager
from lacnode.privacy.service.manager_config import ManagerConfigError, load_config
from lacnode.privacy.service.run_manager import open_service


def open_manager(settings: PrivacySettings) -> OpenedManager:
    """Return the manager that `settings` name. A manager in this process has opened its files, and no port. A manager
    behind a URL is not called here. ManagerStartError if it cannot be opened, or if `settings` name none."""
    if settings.url is not None:
        return OpenedManager(HttpTransactionManager(settings.url, tls=_tls(settings, settings.url)))
    if settings.manager_config is None:
        raise ManagerStartError(
            "--privacy-enabled: there is no transaction manager to keep the payloads of private transactions; give "
            "--privacy-url for one that runs elsewhere, or --privacy-manager-config-file for one in this process"
        )
    try:
        service = open_service(load_config(settings.manager_config, {}), with_client_port=False)
    except (ManagerConfigError, PrivacyKeyError, StoreError, TlsSetupError, OSError) as error:
        raise ManagerStartError(f"--privacy-manager-config-file={settings.manager_config}: {error}") from None
    if settings.public_key is not None and service.manager.keys.find_pair(settings.public_key) is None:
        # The service has opened its database. The start ends here, so it is closed.
        service.close()
        raise ManagerStartError(
            f"--privacy-public-key-file: its key is none of those in {settings.manager_config}, whose manager could read "
            "nothing for this node"
        )
    return OpenedManager(service.manager, service)


def _tls(settings: PrivacySettings, url: str) -> EnclaveTls | None:
    if settings.tls is None:
        return None
    try:
        return EnclaveTls(settings.tls, url)
    except TlsSetupError as error:
        raise ManagerStartError(f"--privacy-tls-enabled: {error}") from None
