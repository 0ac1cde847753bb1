"""The command `train` once its flags are good: a run from its construction to its results."""

from __future__ import annotations

import sys

import tensorflow as tf

from tfdistill import data
from tfdistill.commands import command_line
from tfdistill.commands.start_message import start_message
from tfdistill.devices import memory
from tfdistill.devices.cluster import ending_with_the_others, lost_worker
from tfdistill.engine.term_checks import SilentTermError
from tfdistill.files import NO_ROOM, FileError
from tfdistill.runs import callbacks, checkpoints
from tfdistill.runs.config import RunConfig
from tfdistill.runs.folder import RunFolder
from tfdistill.runs.interruption import Signals
from tfdistill.runs.run import Run
from tfdistill.standalone.calling import program

COMMAND = "train"


def train(config: RunConfig, folder: RunFolder, signals: Signals) -> int:
    """Builds a run, trains it, exports and reports. Returns the exit status."""
    with ending_with_the_others(program(COMMAND)):
        with command_line.one_line_errors(program(COMMAND)):
            run = Run(config, folder, signals)
        try:
            return _train(run)
        finally:
            folder.close()


def _train(run: Run) -> int:
    """Trains and finishes a run; what may go wrong on the way is one line. Returns the exit status."""
    try:
        run.check_terms()
        with command_line.one_line_errors(program(COMMAND)):
            run.open()
        announce(run)
        run.train()
    except SilentTermError as error:
        print(f"{program(COMMAND)}: error: {error}", file=sys.stderr)
        return 2
    except callbacks.Stopped as stopped:
        print(f"\n{program(COMMAND)}: {stopped}; the same command goes on from there", file=sys.stderr)
        return stopped.exit_status
    except FloatingPointError as error:
        print(f"\n{program(COMMAND)}: error: {error}", file=sys.stderr)
        return 1
    except checkpoints.CheckpointError as error:
        print(f"\n{program(COMMAND)}: error: {error}; once that is mended, the same command goes on", file=sys.stderr)
        return 1
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        print(f"\n{program(COMMAND)}: error: {memory.out_of_memory(error)}", file=sys.stderr)
        return 1
    except OSError as error:
        if not isinstance(error, FileError | BrokenPipeError) and error.errno not in NO_ROOM:
            raise
        print(f"\n{program(COMMAND)}: error: {_in_one_line(error)}; {run.rescue()}", file=sys.stderr)
        return 1
    except (tf.errors.OpError, UnicodeDecodeError) as error:  # the second: the first quoting a damaged file's bytes
        if lost_worker(error):
            raise
        # A file that could be read before the training may be gone by now.
        unlabelled = [run.data.unlabelled.split] if run.data.unlabelled else []
        gone = data.describe_unreadable(unlabelled)
        unreadable = gone or data.describe_unreadable([run.data.train, *run.data.monitors.values()])
        if not unreadable:
            raise
        # Of a parted folder, others would be in other parts without it; of unlabelled images, in other batches.
        back = run.config.split or gone
        remedy = "once it is back, the same command goes on" if back else "the same command goes on without it"
        print(f"\n{program(COMMAND)}: error: {unreadable}; {remedy}", file=sys.stderr)
        return 1
    with command_line.one_line_errors(program(COMMAND)):
        return run.finish()


def announce(run: Run) -> None:
    """Says what is about to be trained, where something is; of several workers the chief does."""
    if run.workers.is_chief and run.distiller.steps_trained < run.timetable.total_steps:
        print(start_message(run), flush=True)


def _in_one_line(error: OSError) -> str:
    return str(error) if isinstance(error, FileError) else f"{error.filename or 'the output'}: {error.strerror}"
