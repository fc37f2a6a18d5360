"""Metrics and ethstats."""

from lacnode.cli.options.option import Behaviour, Kind, Option

METRICS_OPTIONS = (
    Option("metrics-enabled", Kind.BOOL, "false", "Pull endpoint"),
    Option(
        "metrics-protocol",
        Kind.ENUM,
        "PROMETHEUS",
        "PROMETHEUS; NONE switches metrics off; OPENTELEMETRY does not start",
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
    Option("metrics-push-enabled", Kind.BOOL, "false", "Push to a gateway; excludes --metrics-enabled"),
    Option("metrics-push-host", Kind.STRING, "127.0.0.1", "Gateway host"),
    Option("metrics-push-port", Kind.INT, "9001", "Gateway port"),
    Option("metrics-push-interval", Kind.INT, "15", "Seconds between two pushes, from 1"),
    Option("metrics-push-prometheus-job", Kind.STRING, "besu-client", "Job name"),
    Option("ethstats", Kind.STRING, "", "name:secret@host:port", Behaviour.REFUSED),
    Option("ethstats-contact", Kind.STRING, "", "Contact shown; needs --ethstats", Behaviour.IGNORED),
    Option("ethstats-cacert-file", Kind.PATH, "", "CA for wss", Behaviour.IGNORED),
)
