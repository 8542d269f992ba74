"""The tab Learn as HTML: the course as a map with the learner's progress, and what each control teaches."""

from __future__ import annotations

from collections.abc import Mapping

from minidiff.course.catalogue import folders, names
from minidiff.course.progress import Points
from minidiff.course.road import ROAD
from minidiff.pipelines.messages import LANGS
from minidiff.studio import html, lessons
from minidiff.studio.labels import SHORT

PARTS = (range(6), range(6, 10), range(10, 14), range(14, 100))  # lessons of the map's four stretches


def course_map(progress: Mapping[str, Points]) -> str:
    """All lessons in their order. progress: by number of exercise, see `minidiff.course.progress`."""
    found = [folder.name for folder in folders() if folder.name[:2] in ROAD]
    stretches = []
    for place, part in enumerate(PARTS):
        stops = "".join(stop(name, progress) for name in found if int(name[:2]) in part)
        if stops:
            title = f'<h3 id="part-{place}">{html.both(f"learn_part_{place}")}</h3>'
            stretches.append(f'<section aria-labelledby="part-{place}">{title}<ol>{stops}</ol></section>')
    return (
        f'<div class="course-map"><h2>{html.both("learn_map")}</h2><p class="why">{html.both("learn_map_info")}</p>'
        f"{''.join(stretches)}</div>"
    )


def stop(folder: str, progress: Mapping[str, Points]) -> str:
    """A lesson: its number in a ring, its name, how far the learner is, and which controls it explains."""
    number = folder[:2]
    own = names().get(number, {})
    got = {exercise: progress[exercise] for exercise in own if exercise in progress}
    share = sum(one.points / one.maximum for one in got.values()) / len(own) if own else 0.0
    state = "done" if own and share == 1 else "begun" if got else "new"
    if not own:
        told = html.both("learn_reading")
    elif not got:
        told = html.both("learn_exercises", count=len(own))
    else:
        points, most = (sum(getattr(one, part) for one in got.values()) for part in ("points", "maximum"))
        done = sum(one.whole for one in got.values())
        told = html.both("learn_done", done=done, count=len(own), points=points, most=most)
    topics = {topic for topic, name in lessons.LESSONS.items() if name == folder}
    uses = [control for control, topic in lessons.TEACHES.items() if topic in topics and control != "end"]  # start says it
    uses += [tab for tab, told_by in lessons.TABS.items() if topics & set(told_by)]
    here = f'<p class="uses">{html.both("learn_uses")} {chips(uses)}</p>' if uses else ""
    links = "".join(
        f'<a lang="{lang}" href="{lessons.notebook(folder, lang)}" target="_blank" rel="noopener">'
        f"{html.escape(ROAD[number].of(lang))}</a>"
        for lang in LANGS
    )
    return (
        f'<li class="{state}" style="--share:{100 * share:.0f}%"><span class="ring" aria-hidden="true"><b>{number}</b></span>'
        f'<div><p class="name">{links}</p><p class="told">{told}</p>{here}</div></li>'
    )


def chips(keys: list[str]) -> str:
    return " ".join(f'<span class="chip">{html.both(SHORT.get(key, key))}</span>' for key in keys)


def controls() -> str:
    """What each control does, and the lesson that explains it."""
    rows = "".join(
        f"<tr><th scope=\"row\">{html.both(control)}</th><td>{html.both(f'{control}_info')}</td>"
        f"<td>{lessons.link(topic)}</td></tr>"
        for control, topic in lessons.TEACHES.items()
    )
    return f'<div class="taught"><h2>{html.both("learn_controls")}</h2><div class="scroll"><table>{rows}</table></div></div>'


def formulas() -> str:
    """The place of the cheat sheet."""
    return (
        f'<section class="formulas" id="cheat-sheet"><h2>{html.both("learn_formulas")}</h2>'
        f"<p>{html.both('learn_formulas_info')}</p></section>"
    )


def found(progress: Mapping[str, Points]) -> str:
    """How much was read, as a notice."""
    if not progress:
        return html.notice(html.both("learn_none"))
    done, points = sum(one.whole for one in progress.values()), sum(one.points for one in progress.values())
    return html.notice(html.both("learn_found", done=done, points=points), "good")


def no_folder(folder: str) -> str:
    return html.notice(html.both("learn_no_folder", folder=folder[:100]), "bad")
