"""Metrics and ethstats."""

from lacnode.cli.options.option import Behaviour, Kind, Option

METRICS_OPTIONS = (
    Option("metrics-enabled", Kind.BOOL, "false", "Pull endpoint"),
    Option(
        "metrics-protocol",
        Kind.ENUM,
        "PROMETHEUS",
        "PROMETHEUS; OPENTELEMETRY and NONE do not start",
        values=(
            "PROMETHEUS",
            "OPENTELEMETRY",
            "NONE",
        ),
    ),
    Option("metrics-host", Kind.STRING, "127.0.0.1", "Bind host"),
    Option("metrics-port", Kind.INT, "9545", "Port; 0 = any"),
    Option(
        "metrics-category",
        Kind.LIST,
        "",
        "Categories, upper case; all but KVSTORE_*",
        aliases=("metrics-categories",),
    ),
    Option("metrics-push-enabled", Kind.BOOL, "false", "Push gateway; excludes --metrics-enabled", Behaviour.REFUSED),
    Option("metrics-push-host", Kind.STRING, "127.0.0.1", "Gateway host", Behaviour.IGNORED),
    Option("metrics-push-port", Kind.INT, "9001", "Gateway port", Behaviour.IGNORED),
    Option("metrics-push-interval", Kind.INT, "15", "Seconds", Behaviour.IGNORED),
    Option("metrics-push-prometheus-job", Kind.STRING, "besu-client", "Job name", Behaviour.IGNORED),
    Option("ethstats", Kind.STRING, "", "name:secret@host:port", Behaviour.REFUSED),
    Option("ethstats-contact", Kind.STRING, "", "Contact shown; needs --ethstats", Behaviour.IGNORED),
    Option("ethstats-cacert-file", Kind.PATH, "", "CA for wss", Behaviour.IGNORED),
)
