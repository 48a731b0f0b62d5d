"""From a robot's file, MJCF or URDF, to its MjSpec, with a floating base and without losing anything.

MuJoCo's own import of a URDF merges links behind fixed joints into others, feet among them, drops the folders of
meshes, and welds the base to the world, where its mass no longer counts. Here links stay bodies, meshes are found as
ROS finds them, and the sum of the masses is compared with the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

import numpy as np

from walkies.errors import UserError
from walkies.files import read_text, shown

if TYPE_CHECKING:  # who only asks for a robot does not load MuJoCo
    import mujoco

EXPECTED = "a robot as MJCF (<mujoco>) or URDF (<robot>)"
READABLE = (".stl", ".obj", ".msh")
"""Meshes that MuJoCo reads."""
PACKAGE = "package://"
LONGEST = 300
"""Characters of what MuJoCo says about a file."""
MASS_TOLERANCE = 1e-6
"""Relative."""


class Source(NamedTuple):
    """A robot's file, read."""

    path: Path
    spec: mujoco.MjSpec
    """Compiles to a robot on a floating base."""
    mass: float
    """kg, of all that moves, as the file says."""
    notes: tuple[str, ...]
    """What was added or left out, a sentence each."""
    speeds: tuple[tuple[str, float], ...] = ()
    """rad/s, maximum joint speeds, by name, if the file states them."""


def read(path: Path | str) -> Source:
    """The robot in a file.

    Raises:
        UserError: says what is wrong with the file, with the name of the element, and what to do.
    """
    path = Path(path)
    text = read_text(path, EXPECTED)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise UserError(f"{path}: declares its own document type; expected {EXPECTED} without one")
    try:
        root = ElementTree.fromstring(text.lstrip())
    except ElementTree.ParseError as error:
        raise UserError(f"{path}: is not XML ({shown(str(error))}); expected {EXPECTED}") from error
    if "<xacro:" in text or path.suffix == ".xacro":
        raise UserError(f"{path}: is a template; expand it first: xacro {path.name} > {path.with_suffix('').name}.urdf")
    if root.tag == "robot":
        return _urdf(path, root)
    if root.tag == "mujoco":
        return _mjcf(path)
    raise UserError(f"{path}: begins with <{shown(root.tag)}>; expected {EXPECTED}")


def _mjcf(path: Path) -> Source:
    import mujoco

    try:
        spec = mujoco.MjSpec.from_file(str(path))
        mass = float(spec.compile().body_mass.sum())
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: MuJoCo cannot read it: {_told(error)}") from error
    return _afloat(Source(path, spec, mass, ()))


def _urdf(path: Path, root: ElementTree.Element) -> Source:
    import mujoco

    _require_tree(path, root)
    mass = sum(_number(path, one, "value") for one in root.findall("link/inertial/mass"))
    notes = (*_drop_empty(root), *_settle_meshes(path, root))
    hollow = {str(link.get("name")): _mass_of(path, link) for link in root.findall("link") if _is_hollow(path, link)}
    settings = root.find("mujoco")
    settings = ElementTree.SubElement(root, "mujoco") if settings is None else settings
    compiler = settings.find("compiler")
    compiler = ElementTree.SubElement(settings, "compiler") if compiler is None else compiler
    compiler.attrib.pop("meshdir", None)
    compiler.attrib |= {"fusestatic": "false", "discardvisual": "false", "strippath": "false", "balanceinertia": "true"}
    try:
        spec = mujoco.MjSpec.from_string(ElementTree.tostring(root, encoding="unicode"))
        notes = (*notes, *_fill(path, spec, hollow))
    except UserError:  # which is one of values too
        raise
    except ValueError as error:
        raise UserError(f"{path}: MuJoCo cannot read it: {_told(error)}") from error
    return _afloat(Source(path, spec, mass, notes, tuple(_speeds(path, root))))


def _speeds(path: Path, root: ElementTree.Element) -> Iterator[tuple[str, float]]:
    """What a URDF says of its joints' speeds; 0 there means nothing."""
    for joint in root.findall("joint"):
        limit = joint.find("limit")
        if limit is not None and "velocity" in limit.attrib and (speed := _number(path, limit, "velocity")) > 0:
            yield str(joint.get("name")), speed


def _told(error: Exception) -> str:
    """What MuJoCo says, in one line."""
    return " ".join(str(error).split())[:LONGEST]


def _drop_empty(root: ElementTree.Element) -> Iterator[str]:
    """Leave out visual shapes without a size, which some programs write; yield that."""
    count = 0
    for link in root.findall("link"):
        for shape in link.findall("visual"):
            sizes = [one.get(name, "1") for one in shape.findall("geometry/*") for name in ("radius", "length", "size")]
            if any(number in ("0", "0.0") for size in sizes for number in size.split()):
                link.remove(shape)
                count += 1
    if count:
        yield f"{count} visual shapes have no size and were left out"


def _mass_of(path: Path, link: ElementTree.Element) -> float:
    return sum(_number(path, one, "value") for one in link.findall("inertial/mass"))


def _is_hollow(path: Path, link: ElementTree.Element) -> bool:
    """Whether a link has a mass, and an inertia of zero."""
    inertia = link.find("inertial/inertia")
    if inertia is None or not _mass_of(path, link):
        return False
    return not any(_number(path, inertia, name) for name in ("ixx", "iyy", "izz"))


def _fill(path: Path, spec: mujoco.MjSpec, hollow: dict[str, float]) -> Iterator[str]:
    """Give bodies of which the file states a mass (kg, by name) and no inertia that of their shapes, filled evenly, and
    say so."""
    for name, mass in hollow.items():
        body = spec.body(name)
        if not any(geom.contype or geom.conaffinity for geom in body.geoms):
            raise UserError(f"{path}: the link {shown(name)} weighs {mass:g} kg and has no inertia; state its inertia")
        body.explicitinertial, body.ipos, body.fullinertia = False, np.full(3, np.nan), np.full(6, np.nan)
        for geom in body.geoms:
            geom.mass, geom.density = np.nan, 1000.0 if geom.contype or geom.conaffinity else 0.0
    if not hollow:
        return
    model = spec.compile()
    for name, mass in hollow.items():
        for geom in spec.body(name).geoms:
            geom.density *= mass / float(model.body(name).mass[0])
    names = ", ".join(list(hollow)[:3]) + ("" if len(hollow) <= 3 else f" and {len(hollow) - 3} more")
    yield f"{names}: with mass but no inertia; they got the inertia of their shapes with uniform density"


def _number(path: Path, element: ElementTree.Element, attribute: str) -> float:
    text = element.get(attribute, "")
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"{path}: {element.tag} {attribute}: got {shown(text)}, expected a number") from error


def _require_tree(path: Path, root: ElementTree.Element) -> None:
    """Raise unless every link but one hangs from one other."""
    links = [str(link.get("name")) for link in root.findall("link")]
    if not links:
        raise UserError(f"{path}: has no link; expected {EXPECTED}")
    children = [str(child.get("link")) for child in root.findall("joint/child")]
    if twice := sorted({name for name in children if children.count(name) > 1}):
        raise UserError(
            f"{path}: the link {shown(twice[0])} hangs from two joints, a closed loop; expected a tree of links"
        )
    for end in ("parent", "child"):
        for one in root.findall(f"joint/{end}"):
            if one.get("link") not in links:
                raise UserError(f"{path}: a joint names the link {shown(str(one.get('link')))}, which does not exist")
    if len(roots := [name for name in links if name not in children]) != 1:
        raise UserError(
            f"{path}: {len(roots)} links hang from none ({', '.join(map(shown, roots))}); expected one base"
        )


def _settle_meshes(path: Path, root: ElementTree.Element) -> Iterator[str]:
    """Give meshes their full paths; leave out visual ones that are missing, and yield what was left out.

    Raises:
        UserError: the shape of a part that collides is not there, or is of a kind that MuJoCo does not read.
    """
    lost = {True: 0, False: 0}
    for link in root.findall("link"):
        for kind in ("visual", "collision"):
            for shape in link.findall(kind):
                if (mesh := shape.find("geometry/mesh")) is None:
                    continue
                name = mesh.get("filename", "")
                found = find_mesh(name, path.parent)
                if found is not None and found.suffix.lower() in READABLE:
                    mesh.set("filename", str(found))
                elif kind == "visual":
                    link.remove(shape)
                    lost[found is None] += 1
                else:
                    _refuse_mesh(path, str(link.get("name")), name, found)
    for missing, why in ((True, "not there"), (False, f"none of {', '.join(READABLE)}")):
        if lost[missing]:
            yield f"{lost[missing]} visual meshes are {why} and were left out"


def _refuse_mesh(path: Path, link: str, name: str, found: Path | None) -> None:
    if found is not None:
        raise UserError(
            f"{path}: the link {shown(link)} collides as {shown(name)}, of which MuJoCo reads {', '.join(READABLE)} "
            "alone; convert it, or give the link a sphere, capsule, box or cylinder"
        )
    where = "in the folders above the file" if name.startswith(PACKAGE) else f"from {path.parent} on"
    raise UserError(
        f"{path}: the link {shown(link)} collides as {shown(name)}, which is not there (looked for {where}); "
        "put the mesh there, or give the link a sphere, capsule, box or cylinder"
    )


def find_mesh(name: str, folder: Path) -> Path | None:
    """The file that a URDF in `folder` calls `name`; None where there is none.

    A name with package:// begins with the name of a ROS package, which is that of a folder above the URDF, or of one
    beside those.
    """
    places = [folder, *folder.resolve().parents]
    if name.startswith(PACKAGE):
        package, _, rest = name.removeprefix(PACKAGE).partition("/")
        candidates = [place / package / rest for place in places]
        candidates += [place / rest for place in places if place.resolve().name == package]
    else:
        candidates = [folder / name.removeprefix("file://")]
    return next((one.resolve() for one in candidates if one.is_file()), None)


def _afloat(source: Source) -> Source:
    """The same with a base that floats, its mass compared with the file's.

    Raises:
        UserError: there is no body that moves, or more than one robot; or mass was lost.
    """
    path, spec, mass, notes, speeds = source
    bases = [body for body in spec.worldbody.bodies if any(_hinged(body))]
    if not bases:
        raise UserError(f"{path}: nothing in it has a hinge; expected a robot with legs")
    if len(bases) > 1:
        names = ", ".join(shown(body.name) for body in bases)
        raise UserError(f"{path}: {len(bases)} bodies with joints stand side by side ({names}); expected one robot")
    (base,) = bases
    if not base.joints:
        base.add_freejoint()
        notes = (*notes, f"the base, {shown(base.name)}, has no joint in the file; here it floats")
    try:
        model = spec.compile()
    except ValueError as error:
        raise UserError(f"{path}: MuJoCo cannot compile it: {_told(error)}") from error
    if not np.isclose(found := float(model.body_mass.sum()), mass, rtol=MASS_TOLERANCE):
        raise UserError(
            f"{path}: its parts weigh {mass:.6g} kg in the file and {found:.6g} kg in MuJoCo's model; expected the "
            "same. State the mass of every link, and one only"
        )
    return Source(path, spec, mass, notes, speeds)


def _hinged(body: mujoco.MjsBody) -> Iterator[bool]:
    """True for each hinge in a body and in what hangs from it."""
    import mujoco

    yield from (joint.type == mujoco.mjtJoint.mjJNT_HINGE for joint in body.joints)
    for child in body.bodies:
        yield from _hinged(child)
