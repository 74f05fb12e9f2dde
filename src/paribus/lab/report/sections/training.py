"""Loss against FLOPs, and how the learning rates were chosen."""

from paribus.lab.claim import Measured
from paribus.lab.record import Record
from paribus.lab.report.band import called
from paribus.lab.report.curves import BINS, courses
from paribus.lab.report.figures.compute import compute
from paribus.lab.report.figures.rates import rates
from paribus.lab.report.markup import Html, figure, folded, section, table, tag


def training(record: Record) -> Html:
    return section("Training: loss against FLOPs", *_courses(record), id_="training")


def _courses(record: Record) -> list[Html]:
    if isinstance(record.plan.task, Measured):
        return [tag("p", "Nothing was trained for this claim: it measures things as they are.")]
    found = courses(record)
    readers = [arm for arm in record.plan.claim.arms if arm.reads is not None]
    read = ""
    if readers:
        told = ", ".join(f"{arm.name} reads {arm.reads}" for arm in readers)
        read = f" Not trained, and so without a line: {told}."
    if not found:
        return [tag("p", f"The run folder holds no training events.{read}")]
    n = max(course.runs for course in found)
    said = (
        f"Loss on the training batches. Smoothed: each point averages a stretch of steps, up to {BINS} stretches "
        f"of even width on this axis. Lines: mean over {n} seed{'s' * (n > 1)}; {called(n)}. "
        f"FLOPs: 3 × the forward pass, all query-key pairs counted.{read}"
    )
    starting = [arm.name for arm in record.plan.claim.arms if arm.starts_from is not None]
    if starting:
        said += f" For {', '.join(starting)} only its own further training is counted."
    gone = [f"{course.arm}: {course.diverged}" for course in found if course.diverged]
    if gone:
        said += f" Diverged runs ({', '.join(gone)}) are in their line as long as their loss was finite."
    return [figure(compute(found), said, class_="wide")]


def learning_rates(record: Record) -> Html:
    return section("Learning rates", *_rates(record), id_="rates")


def _rates(record: Record) -> list[Html]:
    plan = record.plan
    if isinstance(plan.task, Measured):
        return [tag("p", "No training, no learning rate.")]
    if not record.tried:
        chosen = ", ".join(f"{arm} {rate:g}" for arm, rate in record.rates.items())
        note = f" The profile notes: {plan.profile.note}." if plan.profile.note else ""
        return [tag("p", tag("strong", "Learning rate not searched here."), f" Taken as declared: {chosen}.{note}")]
    seeds = ", ".join(map(str, plan.profile.tuning_seeds))
    said = (
        f"The same grid for every trained arm, on tuning seeds of their own ({seeds}), {plan.tuning_steps:,} "
        "steps each, judged on the dev split. Dots: single runs; lines: their mean; ringed: the rate "
        "chosen for the verdict runs."
    )
    if any(one.diverged for one in record.tried):
        said += " ×: diverged, counted as the worst loss."
    grid = {one.learning_rate for one in record.tried}
    if grid - set(plan.profile.learning_rates):
        said += (
            f" The declared grid ({', '.join(f'{rate:g}' for rate in plan.profile.learning_rates)}) was prolonged, for "
            "all arms alike, because a best rate lay at its end."
        )
    parts = [figure(rates(record), said, class_="wide")]
    if record.edges:
        names = ", ".join(f"{arm} ({record.rates[arm]:g})" for arm in record.edges if arm in record.rates)
        parts.append(
            tag(
                "p",
                tag("strong", "At the edge of the grid: "),
                f"{names}. The best rate is the smallest or largest that was tried, so the true optimum may lie "
                "beyond, and this arm may be undertuned.",
                class_="warning",
            )
        )
    rows = [
        [t.arm, f"{t.learning_rate:g}", str(t.seed), f"{t.dev_loss:.4f}", "diverged" if t.diverged else "finished"]
        for t in record.tried
    ]
    parts.append(
        folded(
            f"All {len(rows)} tuning runs, none left out", table(["arm", "rate", "seed", "dev loss", "status"], rows)
        )
    )
    return parts
