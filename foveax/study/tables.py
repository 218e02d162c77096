"""The tables of a study: each number next to its controls, with intervals over stimuli and participants."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from foveax.analysis.bootstrap import Interval
from foveax.report.tables import Cell, Table
from foveax.study.compare import FITTED, PEOPLE, PEOPLES_GAZE, POLICY, Study
from foveax.study.decisions import by_stimulus, rank_correlation
from foveax.study.densities import PRIOR
from foveax.study.intervals import Difference, crossed_intervals, holm, paired_difference
from foveax.study.likeness import CEILING, CONTROLS

HARDEST = 10
"""Stimuli that are named as hardest."""
UNKNOWN_CEILING = (
    "How much likeness people owe to the image is not known: it takes two participants on one image, and another image."
)
OVER = "Intervals are of 95 %, over images and participants."
TESTED = "p is two-sided, corrected for the {count} tests of the table (Holm 1979)."


def tables_of(study: Study) -> dict[str, tuple[str, Table]]:
    """All tables by name, with their titles."""
    tables = {}
    if study.correct:
        tables["accuracy"] = ("Decisions after each fixation", _accuracy_table(study))
        if study.shares:
            tables["shares"] = ("Pixels seen after each fixation", _share_table(study))
        tables["gains"] = ("Whose gaze serves the classifier?", _gain_table(study))
        tables["difficulty"] = ("What is hard for both?", _difficulty_table(study))
        tables["time"] = ("When is the decision right for good?", _time_table(study))
        tables["hardest"] = ("The hardest images", _hardest_table(study))
    if len(study.eyes) > 1:
        tables["eyes"] = ("Eyes on one table", _eye_table(study))
    tables["specific"] = ("Likeness that is owed to the image", _specific_table(study))
    tables["likeness"] = ("Likeness of scanpaths", _likeness_table(study))
    if study.gains:
        tables["information"] = ("How well are people's fixations predicted?", _information_table(study))
    tables["tests"] = ("The model against each control", _test_table(study))
    return tables


def intervals(study: Study, columns: Mapping[Any, np.ndarray]) -> dict[Any, Interval]:
    """The mean of each column ``[R]`` with its interval."""
    values = np.stack(list(columns.values()), axis=1)
    found = crossed_intervals(values, study.trials.image, study.trials.subject)
    return dict(zip(columns, found, strict=True))


def difference(study: Study, one: np.ndarray, other: np.ndarray) -> Difference:
    """The mean paired difference of two columns ``[R]``, with its interval and probability."""
    return paired_difference(one, other, study.trials.image, study.trials.subject)


def _accuracy_table(study: Study) -> Table:
    length = study.trials.fixations.shape[1]
    columns = {(name, step): values[:, step] for name, values in study.correct.items() for step in range(length)}
    found = intervals(study, columns)
    rows: list[list[Cell]] = []
    for name in study.correct:
        seen: Cell = 100 * float(np.nanmean(study.shares[name][:, -1])) if name in study.shares else ""
        rows.append([name, *(_share(found[name, step]) for step in range(length)), seen])
    answered = f"Row {PEOPLE}: their answers. " if PEOPLE in study.correct else "What people answered is not known. "
    own = study.eyes[0].name
    note = (
        f"Share of right decisions, in %. {answered}Row {own}: its own gaze, from where the participant began. All "
        f"other rows: the classifier of {own} along the gaze of others, which begins there too. {PEOPLES_GAZE}: of the "
        f"participant. {OVER} The last column is the share of the image's pixels that all fixations have shown, in %."
    )
    return Table(note, ["", *(f"fixation {step + 1}" for step in range(length)), "seen"], rows)


def _share_table(study: Study) -> Table:
    length = study.trials.fixations.shape[1]
    rows: list[list[Cell]] = [
        [name, *(100 * float(np.nanmean(shares[:, step])) for step in range(length))]
        for name, shares in study.shares.items()
        if name in study.correct
    ]
    note = "Share of the image's pixels that lie in any of the squares seen so far, the mean over trials, in %."
    return Table(note, ["", *(f"fixation {step + 1}" for step in range(length))], rows)


def _gain_table(study: Study) -> Table:
    last = {name: values[:, -1] for name, values in study.correct.items() if name != PEOPLE}
    others = [name for name in last if name != PEOPLES_GAZE]
    found = {name: difference(study, last[PEOPLES_GAZE], last[name]) for name in others} if PEOPLES_GAZE in last else {}
    p, tested = _corrected(found)
    rows: list[list[Cell]] = [
        [f"{PEOPLES_GAZE} - {name}", _percent(each.interval), _p(p[name])] for name, each in found.items()
    ]
    note = (
        "Points by which the classifier is right more often, after the last fixation, along people's gaze than along "
        f"others. {OVER} {tested}"
    )
    return Table(note, ["", "points", "p"], rows)


def _likeness_table(study: Study) -> Table:
    scores = study.likeness.scores
    kinds = [kind for kind in next(iter(scores.values())) if np.isfinite(scores["centre"][kind]).any()]
    found = intervals(study, {(name, kind): scores[name][kind] for name in scores for kind in kinds})
    rows = [[name, *(found[name, kind] for kind in kinds)] for name in scores]
    note = (
        "Each scanpath against the participant's, from the same beginning: samples of the policy, its mode, and "
        f"controls; {CEILING} on the same image is the ceiling. MultiMatch and ScanMatch: 1 is alike; levenshtein in "
        "edits and time warping in pixels: 0 is alike. An eye that stays near the centre is like everybody's mean, so "
        f"that these alone do not tell whether it looks as people do: see the table above. {OVER}"
    )
    return Table(note, ["", *kinds], rows)


def _eye_table(study: Study) -> Table:
    gains, last = study.gains, {name: values[:, -1] for name, values in study.correct.items()}
    names = [*(eye.name for eye in study.eyes), CEILING, "best fixed", "centre", "another image"]
    rows: list[list[Cell]] = []
    for name in names:
        columns = {
            "accuracy": last.get(name),
            "scanmatch": study.likeness.scores[name]["scanmatch"],
            "specific": study.likeness.specific.get(name, {}).get("scanmatch"),
            "gain": gains.get(f"{name}: {POLICY}", gains.get(name)),
            "fitted": gains.get(f"{name}: {FITTED}"),
        }
        found = intervals(study, {key: values for key, values in columns.items() if values is not None})
        right: Cell = _share(found["accuracy"]) if "accuracy" in found else ""
        rows.append([name, right, *(found.get(key, "") for key in ("scanmatch", "specific", "gain", "fitted"))])
    note = (
        "One classifier, several eyes: trained by reward (model), fitted to people, or both; controls below. Right "
        "decisions after the last fixation, in %; ScanMatch with people, and the part of it that is owed to the image; "
        "bits per fixation over the centre prior of the policy as it is, and with the scale that suits people best (of "
        f"controls, of their density). {OVER}"
    )
    return Table(note, ["", "right", "ScanMatch", "owed to the image", "information gain", "scale fitted"], rows)


def _specific_table(study: Study) -> Table:
    specific = study.likeness.specific
    kinds = [kind for kind in specific[CEILING] if np.isfinite(specific[CEILING][kind]).any()]
    if not kinds:
        return Table(UNKNOWN_CEILING, ["", "share"], [])
    found = intervals(study, {(name, kind): specific[name][kind] for name in specific for kind in kinds})
    names = [name for name in specific if name != CEILING] + [CEILING]
    zero = np.zeros(len(study.trials.image))
    p, tested = _corrected({name: difference(study, specific[name]["scanmatch"], zero) for name in names})
    ceiling = found[CEILING, "scanmatch"].mean
    rows: list[list[Cell]] = []
    for name in names:
        share: Cell = 100 * found[name, "scanmatch"].mean / ceiling if ceiling > 0 else ""
        rows.append([name, *(found[name, kind] for kind in kinds), share, _p(p[name])])
    note = (
        "How much more alike two scanpaths on one image are than on two images, by the same two: 0 for an eye that "
        "does not look at the image, however strong its bias to the centre. Positive is more alike, in every column. "
        f"The share is that of the ceiling, {CEILING}, by ScanMatch, in %. {OVER} p is of ScanMatch against 0; {tested}"
    )
    return Table(note, ["", *kinds, "share of ceiling", "p"], rows)


def _information_table(study: Study) -> Table:
    gains, zero = study.gains, np.zeros(len(study.trials.image))
    aucs = {name: values for name, values in study.densities.shuffled_auc.items() if name != PRIOR}
    found = intervals(study, gains)
    areas = intervals(study, aucs)
    p, tested = _corrected({name: difference(study, values, zero) for name, values in gains.items()})
    rows: list[list[Cell]] = [[name, found[name], areas.get(name, ""), _p(p[name])] for name in gains]
    scales = ", ".join(f"{name} {scale:g}" for name, scale in study.scales.items())
    chosen = f" ({scales})" * bool(scales)
    note = (
        "Information gain: bits per fixation by which a density predicts people's fixations better than the centre "
        "prior, the fixations of all people on all other images (Kümmerer, Wallis, Bethge 2015). Policy: the model's "
        "own density of the next fixation, given what its classifier saw along the participant's gaze; fitted: with "
        f"the one scale that suits people best, chosen on the other half of the images{chosen}. The row of a name "
        f"alone is the density of its sampled fixations on the image. {CEILING}: of the other "
        "participants' fixations on the same image. Shuffled AUC: against fixations on other images; 0.5 is chance, "
        f"whatever the bias to the centre. {OVER} p is of the gain against 0; {tested}"
    )
    return Table(note, ["", "information gain", "shuffled AUC", "p"], rows)


def _test_table(study: Study) -> Table:
    own, scores = study.eyes[0].name, study.likeness.scores
    kinds = [kind for kind in scores[own] if np.isfinite(scores[own][kind]).any()]
    against = [*CONTROLS, CEILING]
    found = {
        (kind, other): difference(study, scores[own][kind], scores[other][kind]) for kind in kinds for other in against
    }
    gains = study.gains
    policy = next((name for name in (f"{own}: {FITTED}", f"{own}: {POLICY}", own) if name in gains), own)
    for other in ("uniform", "centre", "another image", "best fixed", CEILING):
        if policy not in gains or other not in gains:
            continue
        found[f"information gain, {policy}", other] = difference(study, gains[policy], gains[other])
    p, tested = _corrected(found)
    columns = ["centre", "random", "uniform", "another image", "best fixed", CEILING]
    rows: list[list[Cell]] = []
    for kind in dict.fromkeys(kind for kind, _ in found):
        cells: list[Cell] = []
        for other in columns:
            both = (kind, other) in found
            cells += [found[kind, other].interval if both else "", _p(p[kind, other]) if both else ""]
        rows.append([kind, *cells])
    header = [text for other in columns for text in (f"- {other}", "p")]
    note = f"{own} less each control, paired by trial. {OVER} {tested}"
    return Table(note, ["", *header], rows)


def difficulties(study: Study) -> dict[str, np.ndarray]:
    """The share of right decisions on each stimulus ``[M]``, the mean over fixations: people's, the model's."""
    names = [name for name in (PEOPLE, PEOPLES_GAZE, study.eyes[0].name) if name in study.correct]
    return {name: by_stimulus(study.correct[name].mean(axis=1), study.trials) for name in names}


def _difficulty_table(study: Study) -> Table:
    values = difficulties(study)
    own = study.eyes[0].name
    pairs = [(one, other) for one in values for other in values if one != other and (one, other) != (own, PEOPLES_GAZE)]
    unordered = {tuple(sorted(pair)): pair for pair in pairs}
    rows: list[list[Cell]] = [
        [f"{one} and {other}", rank_correlation(values[one], values[other])] for one, other in unordered.values()
    ]
    if PEOPLE in study.decision_times:
        seconds, fixations = (by_stimulus(each, study.trials) for each in study.decision_times[PEOPLE][::-1])
        theirs = by_stimulus(study.decision_times[own].fixations, study.trials)
        rows.append([f"fixations that people and {own} need", rank_correlation(fixations, theirs)])
        rows.append([f"seconds that people and fixations that {own} needs", rank_correlation(seconds, theirs)])
    note = (
        "Spearman's correlation, over images, of how often decisions are right, the mean over all fixations, and of "
        "what is needed until they are right for good. Intervals are of 95 %, over images."
    )
    return Table(note, ["", "correlation"], rows)


def _time_table(study: Study) -> Table:
    rows: list[list[Cell]] = []
    for name, need in study.decision_times.items():
        known = np.isfinite(study.correct[name]).any(axis=1)
        never = 100 * float(np.isnan(need.fixations[known]).mean())
        seconds = np.isfinite(need.seconds).any()
        found = intervals(study, {"fixations": need.fixations, "seconds": need.seconds})
        rows.append([name, found["fixations"], found["seconds"] if seconds else "", never])
    note = (
        "Until the decision is right and stays so to the last fixation: fixations and, of people, seconds. Means are "
        "over the trials that come to this; the last column is the share of trials with a known decision, in %, that "
        f"never do. {OVER}"
    )
    return Table(note, ["", "fixations", "seconds", "never (%)"], rows)


def _hardest_table(study: Study) -> Table:
    values = difficulties(study)
    score = np.nanmean(np.stack(list(values.values())), axis=0)
    order = np.argsort(score)[:HARDEST]
    label = np.asarray(study.trials.stimuli["label"])
    rows: list[list[Cell]] = [
        [str(study.trials.names[number]), str(label[number]), *(100 * float(each[number]) for each in values.values())]
        for number in order
    ]
    note = "Share of right decisions on an image, the mean over fixations and trials, in %."
    return Table(note, ["image", "class", *values], rows)


def _corrected(differences: Mapping[Any, Difference]) -> tuple[dict[Any, float], str]:
    """The corrected probability of each difference, and a sentence on the correction."""
    p = np.array([each.p for each in differences.values()])
    return dict(zip(differences, holm(p), strict=True)), TESTED.format(count=int(np.isfinite(p).sum()))


def _percent(interval: Interval) -> Interval:
    return Interval(*(100 * value for value in interval))


def _share(interval: Interval) -> Interval:
    """A share in %, whose interval does not leave what shares can be."""
    return Interval(*(float(np.clip(100 * value, 0, 100)) for value in interval))


def _p(value: float) -> str:
    if np.isnan(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
