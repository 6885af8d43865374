"""``losslab find``: the range of learning rates, the range of batch sizes."""

from cyclopts import App

from losslab.cli.find.batch import batch
from losslab.cli.find.lr import lr

app = App(name="find", help="Find the range of learning rates or batch sizes by training.")
app.command(lr)
app.command(batch)
