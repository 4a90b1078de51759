"""`config`: what is in force, and where each value came from."""

from tai_autonomics.cli.options import AsJson, DataDir, Dev, Quiet, StoreUrl, load_settings, warn
from tai_autonomics.cli.output import Output, columns
from tai_autonomics.cli.statuses import epilog
from tai_autonomics.cli.tree import group

app = group()


@app.command(epilog=epilog("config", "config --dev --json"))
def config(
    store: StoreUrl = None, data_dir: DataDir = None, dev: Dev = False, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """
    Show every setting in force and where its value came from.

    Secrets are masked.
    """
    from tai_autonomics.settings import shown

    loaded = load_settings(store=store, data_dir=data_dir, dev=dev)
    lines = shown(loaded)
    if not quiet:
        warn(loaded)
    Output(json=as_json, quiet=quiet).show(
        {"settings": lines, "warnings": loaded.warnings},
        *columns([(line.name, line.value or "(unset)", line.source) for line in lines]),
    )
