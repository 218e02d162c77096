"""The command ``foveax attack``: the robustness of a run, in a folder of outcomes, figures and one page."""

import contextlib
from collections.abc import Iterator

from tqdm import tqdm
from tyro.conf import OmitArgPrefixes, Positional

from foveax.commands import OWN_DATA, RunFlags, output_folder
from foveax.evaluation.attack import Progress, format_attack
from foveax.evaluation.attack_rows import AttackConfig
from foveax.runs.attack_run import attack_run
from foveax.runtime.processes import is_main

ATTACK = AttackConfig()
BAR = "{desc} {percentage:3.0f} %|{bar}| {elapsed}, at most {remaining} left"


def attack(
    run: Positional[str],
    /,
    config: OmitArgPrefixes[AttackConfig] = ATTACK,
    flags: OmitArgPrefixes[RunFlags] = OWN_DATA,
    *,
    whole_image: str = "",
    only: tuple[str, ...] = (),
    corruptions: bool = False,
    out: str = "",
) -> None:
    """Attack a run through its gaze by a whole checklist, next to its controls; a stopped evaluation is resumed.

    The table and the verdict are printed, and stand with figures on one page, attack.html; attack.json has all numbers.

    Args:
      run: Run directory.
      whole_image: Run directory of a network that sees the whole image, for comparison, trained as long and against the
        same adversary; by default a convolutional one is trained on at most 300,000 images.
      only: Names of rows of the table, where some are enough; by default all.
      corruptions: Also show it common corruptions, such as noise and blur, at five severities.
      out: The folder of the outcomes; by default attack in the run directory.
    """
    from foveax.report.attack_page import write_attack_page  # imports matplotlib

    loaded = flags.load(run)
    folder = output_folder(out, loaded, "attack")
    network = flags.load(whole_image) if whole_image else None
    with work_bar() as progress:
        options = {"whole_image": network, "only": only, "corruptions": corruptions, "progress": progress}
        results = attack_run(loaded, config, folder=folder, **options)
    page = write_attack_page(results, folder, title=loaded.path.absolute().name, called=loaded.data.class_name)
    print(format_attack(results))
    print(f"outcomes on each image are in {folder}; open {page}")


@contextlib.contextmanager
def work_bar() -> Iterator[Progress]:
    """A bar of the share of work that is done, and the time left if all of it is needed, whose title says for what."""
    with tqdm(total=1.0, disable=not is_main(), bar_format=BAR, dynamic_ncols=True) as bar:

        def progress(line: str, share: float) -> None:
            bar.set_description_str(line, refresh=False)
            bar.update(max(share - bar.n, 0.0))
            bar.refresh()

        yield progress
