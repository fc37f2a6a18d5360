"""The authenticator of a port, made of its settings."""

import orjson

from lacnode.rpc.authentication.credentials import CredentialsFile
from lacnode.rpc.authentication.tokens import ForeignTokens, OwnTokens, TokenChecker
from lacnode.rpc.settings import AuthenticationSettings
from lacnode.rpc.user import LoginRefusedError, User

BEARER = "Bearer "


class TokenAuthenticator:
    """Implements `user.Authenticator` for the users and tokens of `settings`. AuthenticationSetupError if a file of its
    settings cannot be used."""

    def __init__(self, settings: AuthenticationSettings) -> None:
        file, foreign = settings.credentials_file, settings.public_key_file
        # A port checks tokens of one issuer alone: this node, or the one of `public_key_file`. With a foreign issuer
        # this node gives no tokens, so logins are refused.
        own = OwnTokens()
        self._own = own if foreign is None else None
        self._tokens: TokenChecker = own if foreign is None else ForeignTokens(foreign, settings.algorithm)
        self._credentials = None if file is None else CredentialsFile(file)
        if self._credentials is not None:
            self._credentials.check(with_privacy_keys=settings.privacy_keys)
        self._open_methods = settings.open_methods

    def requires_token_for_every_method(self) -> bool:
        """Return True if every method needs a token: the settings name no method that is open to all."""
        return not self._open_methods

    def find_user(self, authorization: str | None) -> User | None:
        """Return the user of a request with this `Authorization` header. None if the header is missing, is not
        `Bearer`, or has no valid token."""
        token = _token(authorization)
        return None if token is None else self._tokens.find_user(token)

    def permits(self, user: User | None, method: str) -> bool:
        """Return True if `method` needs no token, or if `user` may call it. `user` is None for a request without a
        valid token."""
        return method in self._open_methods or (user is not None and user.may_call(method))

    def log_in(self, body: bytes) -> str:
        """Return a token for the `username` and the `password` in a JSON object, after reading the file of users again.
        bcrypt is slow on purpose: run it in a thread.

        LoginRefusedError with status 400 if there are no logins or `body` has no such object, 401 if the name or the
        password is not correct.
        """
        if self._credentials is None or self._own is None:
            raise LoginRefusedError(400, "Authentication not enabled")
        name, password = _named(body)
        account = self._credentials.account(name, password)
        # One text for both mistakes: it does not tell whether the user exists.
        if account is None:
            raise LoginRefusedError(
                401, "Unauthorized", "Authentication failed: the username or password is incorrect."
            )
        return self._own.issue(account.name, account.permissions, account.privacy_key)


def _token(authorization: str | None) -> str | None:
    if authorization is None or not authorization.startswith(BEARER):
        return None
    return authorization.removeprefix(BEARER).strip() or None


def _named(body: bytes) -> tuple[str, str]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict):
        name, password = document.get("username"), document.get("password")
        if isinstance(name, str) and isinstance(password, str):
            return name, password
    raise LoginRefusedError(400, "Bad Request", "Authentication failed: username and password are required.")
