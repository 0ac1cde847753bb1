"""Trainings of a table, played by made-up ones: what is started when, what failure and signals do, what is printed."""

import io
import itertools
import signal

import pytest

from tfdistill.commands.tabling import campaign as campaigns
from tfdistill.commands.tabling.plan import Planned
from tfdistill.commands.tabling.progress import Progress
from tfdistill.runs.config import RunConfig
from tfdistill.runs.folder import RunFolder
from tfdistill.runs.interruption import Interrupted, Signals
from tfdistill.tables import Outcome


class Played:
    """A training that takes some pauses; the world's clock goes on by ten seconds in each."""

    def __init__(self, world, one, slot):
        self.world, self.one, self.slot, self.left, self.terminated = world, one, slot, world.takes[one.row], False

    def ended(self):
        if self.terminated:
            return 143
        self.left -= 1
        if self.left > 0:
            return None
        if self.one.row in self.world.fail:
            return 2
        self.world.done.add(self.one.name)
        return 0

    def terminate(self):
        self.terminated = True

    def last_line(self):
        return "train.py: error: no such thing" if self.one.row in self.world.fail else ""


class World:
    def __init__(self, tmp_path, monkeypatch, rows="abc", seeds=(1, 2), teachers=None):
        self.root, self.now, self.started, self.done, self.fail = tmp_path, 0.0, [], set(), set()
        self.takes = dict.fromkeys(rows, 2)
        self.runs = {}
        for seed, row in itertools.product(seeds, rows):
            name = f"t-{row}-seed{seed}"
            config = RunConfig(run=name, seed=seed, networks=("resnet8",), epochs=4, runs_dir=str(tmp_path))
            of = tuple(f"t-{one}-seed{seed}" for one in (teachers or {}).get(row, ()))
            self.runs[name] = Planned(name, f"{row} seed {seed}", row, config, (), of)
        self.signals, self.output = Signals(), io.StringIO()
        monkeypatch.setattr(campaigns, "outcome_of", self.outcome)

    def outcome(self, row, seed, config):
        return Outcome(row, seed, config.run, "finished" if config.run in self.done else "missing")

    def start(self, one, slot, jobs):
        self.started.append((one.name, slot))
        (self.root / f"{one.name}.log").touch()
        return Played(self, one, slot)

    def pause(self):
        self.now += 10.0

    def campaign(self, jobs=1):
        progress = Progress(self.runs, jobs, self.output, lambda: self.now)
        return campaigns.Campaign(self.runs, jobs, self.signals, progress, self.start, self.pause)

    @property
    def lines(self):
        return self.output.getvalue().splitlines()


def test_one_after_the_other_in_order_and_what_is_finished_is_left_alone(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch)
    world.done.add("t-b-seed1")
    campaign = world.campaign()
    campaign.train()
    assert [name for name, _ in world.started] == [
        f"t-{row}" for row in ("a-seed1", "c-seed1", "a-seed2", "b-seed2", "c-seed2")
    ]
    assert campaign.finished == 6 and not campaign.problems and world.lines[-1] == "6 of 6 runs"
    again = World(tmp_path, monkeypatch)
    again.done = world.done
    assert again.campaign().waiting == []


def test_jobs_run_side_by_side_in_slots_of_their_own(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch, seeds=(1,))
    world.takes["a"] = 5
    world.campaign(jobs=2).train()
    assert world.started == [("t-a-seed1", 0), ("t-b-seed1", 1), ("t-c-seed1", 1)]


def test_a_row_that_fails_stops_no_other(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch)
    world.fail = {"b"}
    campaign = world.campaign()
    campaign.train()
    said = "train.py: error: no such thing"
    assert campaign.problems == {"t-b-seed1": said, "t-b-seed2": said} and campaign.finished == 4
    assert world.lines[-1] == "4 of 6 runs, 2 failed"
    assert f"b seed 1 failed: {said} ({tmp_path / 't-b-seed1.log'})" in world.lines


def test_who_learns_waits_for_its_teacher_and_fails_with_it(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch, rows="sa", seeds=(1, 2), teachers={"s": ("a",)})
    world.campaign(jobs=2).train()
    order = [name for name, _ in world.started]
    assert order.index("t-a-seed1") < order.index("t-s-seed1") and order.index("t-a-seed2") < order.index("t-s-seed2")
    (tmp_path / "t-s-seed1.log").unlink()
    broken = World(tmp_path, monkeypatch, rows="sa", seeds=(1,), teachers={"s": ("a",)})
    broken.fail = {"a"}
    campaign = broken.campaign()
    campaign.train()
    assert [name for name, _ in broken.started] == ["t-a-seed1"]
    said = f"its teacher, {tmp_path / 't-a-seed1'}, is not finished"
    assert campaign.problems["t-s-seed1"] == said
    assert f"s seed 1 failed: {said}" in broken.lines, "it was not started, and has no log"


@pytest.mark.parametrize("ends", [True, False])
def test_a_run_that_another_process_trains_comes_last_and_is_told(tmp_path, monkeypatch, ends):
    world = World(tmp_path, monkeypatch, seeds=(1,))
    (tmp_path / "t-a-seed1").mkdir()
    other = RunFolder(tmp_path / "t-a-seed1")
    assert other.lock()
    if ends:
        world.done.add("t-a-seed1")
        monkeypatch.setattr(
            campaigns, "outcome_of", lambda row, seed, config: Outcome(row, seed, config.run, "missing")
        )
        campaign = world.campaign()
        monkeypatch.setattr(campaigns, "outcome_of", world.outcome)
    else:
        campaign = world.campaign()
    campaign.train()
    other.close()
    assert [name for name, _ in world.started] == ["t-b-seed1", "t-c-seed1"]
    assert campaign.finished == (3 if ends else 2)
    assert ("another process is training" in campaign.problems.get("t-a-seed1", "")) != ends


def test_a_run_that_two_commands_start_at_once_is_left_to_the_faster(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch, seeds=(1,))
    world.fail = {"a"}  # as the training ends whose folder another has locked
    other, usual = RunFolder(tmp_path / "t-a-seed1"), world.start

    def start(one, slot, jobs):
        if one.row == "a":
            other.path.mkdir()
            assert other.lock()
        if one.row == "c":
            other.close()
            world.done.add("t-a-seed1")
        return usual(one, slot, jobs)

    world.start = start
    campaign = world.campaign()
    campaign.train()
    assert [name for name, _ in world.started] == ["t-a-seed1", "t-b-seed1", "t-c-seed1"]
    assert not campaign.problems and campaign.finished == 3


def test_a_signal_has_what_runs_save_and_end_and_starts_nothing_more(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch)
    campaign = world.campaign(jobs=2)
    usual = world.pause

    def pause():
        usual()
        if world.now == 30.0:
            assert world.signals.patient
            world.signals._receive(signal.SIGTERM, None)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    campaign.pause = pause
    try:
        with pytest.raises(
            Interrupted, match="stopped by SIGTERM while it trained; 2 of 6 runs were finished"
        ) as caught:
            campaign.train()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert caught.value.exit_status == 143 and not campaign.running and not campaign.problems
    assert [name for name, _ in world.started] == ["t-a-seed1", "t-b-seed1", "t-c-seed1", "t-a-seed2"]


def test_progress_has_shares_and_the_time_left(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch)
    progress = Progress(world.runs, 1, world.output, lambda: world.now)
    folder = RunFolder(tmp_path / "t-a-seed1")
    progress.begin("t-a-seed1")
    progress.tell(0, 0, ["t-a-seed1"], ["t-b-seed1", "t-c-seed1"])
    folder.path.mkdir()
    folder.write_epochs([{"epoch": 1, "step": 10}])
    world.now = 30.0
    progress.tell(0, 0, ["t-a-seed1"], ["t-b-seed1"])  # it is not time
    world.now = 60.0
    progress.tell(1, 1, ["t-a-seed1"], ["t-b-seed1"])
    # A quarter took a minute: three more of this run, and four of another that is as long.
    assert world.lines == ["0 of 6 runs; a seed 1 0 %", "1 of 6 runs, 1 failed; a seed 1 25 %; about 0:07:00 left"]


def test_two_at_a_time_take_half_the_time_but_no_less_than_the_longest(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch)
    progress = Progress(world.runs, 2, world.output, lambda: world.now)
    progress._seconds = {"a": 100.0, "b": 20.0}
    assert progress.seconds_left({}, ["t-a-seed1", "t-b-seed1"]) == 100.0
    assert progress.seconds_left({}, ["t-a-seed1", "t-a-seed2", "t-c-seed1"]) == 130.0
    assert progress.seconds_left({}, []) is None


def test_a_terminal_has_one_line_that_is_renewed(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch, rows="a", seeds=(1,))
    world.output.isatty = lambda: True
    world.campaign().train()
    assert "\n" not in world.output.getvalue() and world.output.getvalue().count("\r") == 2
