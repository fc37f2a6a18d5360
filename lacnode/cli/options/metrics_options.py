"""Metrics and ethstats."""

from lacnode.cli.options.option import Option, OptionKind

METRICS_OPTIONS = (
    Option("metrics-enabled", OptionKind.BOOL, "false", "Pull endpoint"),
    Option(
        "metrics-protocol",
        OptionKind.ENUM,
        "PROMETHEUS",
        "PROMETHEUS; OPENTELEMETRY sends OTLP as the variables OTEL_* say; NONE switches metrics off",
        values=(
            "PROMETHEUS",
            "OPENTELEMETRY",
            "NONE",
        ),
    ),
    Option("metrics-host", OptionKind.STRING, "127.0.0.1", "Bind host"),
    Option("metrics-port", OptionKind.INT, "9545", "Port; 0 = any"),
    Option(
        "metrics-category",
        OptionKind.LIST,
        "",
        "Categories, upper case; all but KVSTORE_*",
        aliases=("metrics-categories",),
    ),
    Option("metrics-push-enabled", OptionKind.BOOL, "false", "Push to a gateway; excludes --metrics-enabled"),
    Option("metrics-push-host", OptionKind.STRING, "127.0.0.1", "Gateway host"),
    Option("metrics-push-port", OptionKind.INT, "9001", "Gateway port"),
    Option("metrics-push-interval", OptionKind.INT, "15", "Seconds between two pushes, from 1"),
    Option("metrics-push-prometheus-job", OptionKind.STRING, "besu-client", "Job name"),
    Option(
        "ethstats",
        OptionKind.STRING,
        "",
        "Server for reports: [ws://|wss://]nodename:secret@host[:port]",
        aliases=("Xethstats",),
    ),
    Option("ethstats-contact", OptionKind.STRING, "", "Contact shown there", aliases=("Xethstats-contact",)),
    Option("ethstats-cacert-file", OptionKind.PATH, "", "Authority (PEM) of its certificate"),
)
