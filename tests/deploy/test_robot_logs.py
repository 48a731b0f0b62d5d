"""Recordings: what is written is read back, bags and CSV alike, and mistakes are answered with what to do."""

import codecs
import csv

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from fuzz import damaged
from walkies.deploy.recordings import bag, logs
from walkies.errors import UserError


def some_recording(count=7, seed=0):
    rng = np.random.default_rng(seed)

    def messages(size, lost):
        time = 100.0 + np.sort(rng.uniform(0, 1, count - lost))
        return logs.Messages(time, rng.normal(size=(count - lost, size)).astype(np.float32).astype(float))

    return logs.Recording(messages(36, 0), messages(12, 1), messages(12, 2))


def write_bag(
    path, recording, storage=StoragePlugin.MCAP, node="/neural_controller", kind="Float32MultiArray", version=9
):
    """The recording as a ROS 2 bag."""
    types = get_typestore(Stores.ROS2_HUMBLE)
    name = f"std_msgs/msg/{kind}"
    array, layout = types.types[name], types.types["std_msgs/msg/MultiArrayLayout"]
    dtype = np.float32 if "32" in kind else np.float64
    with Writer(path, version=version, storage_plugin=storage) as writer:
        for topic, messages in zip(logs.TOPICS, recording, strict=True):
            connection = writer.add_connection(f"{node}/{topic}", name, typestore=types)
            for time, values in zip(messages.time, messages.values, strict=True):
                message = array(layout=layout(dim=[], data_offset=0), data=values.astype(dtype))
                writer.write(connection, round(time * 1e9), types.serialize_cdr(message, name))


def assert_same(got, expected, tolerance=0.0):
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one.time, other.time, rtol=0, atol=1e-6)
        np.testing.assert_allclose(one.values, other.values, rtol=0, atol=tolerance)


def test_csv_is_read_back(tmp_path):
    recording = some_recording()
    logs.write_csv(tmp_path / "log.csv", recording)
    assert_same(logs.read(tmp_path / "log.csv"), recording)


def rewritten(text, how):
    """CSV text as bytes that people's tools make of it."""
    lines = text.splitlines()
    match how:
        case "byte order mark":
            return codecs.BOM_UTF8 + text.encode()
        case "UTF-16":
            return text.encode("utf-16")
        case "UTF-16, other order":
            return codecs.BOM_UTF16_BE + text.encode("utf-16-be")
        case "Latin-1":
            return text.replace("values", "Gelenke in °", 1).encode("latin-1")
        case "blank rows":
            return "\n".join([lines[0], "", *lines[1:3], ",,,,", "  ", *lines[3:], "", ""]).encode()
        case "padded rows":
            return "\n".join(line + ",,," for line in lines).encode()
        case "stray quote":
            return text.replace(",observation,", ',observation,"', 1).encode()
        case "all quoted":
            return "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in lines).encode()
        case "spaces":
            return text.replace(",", " , ").encode()
        case "other line ends":
            return text.replace("\r\n", "\n").replace("\n", "\r").encode()
        case "no last line end":
            return text.rstrip().encode()
        case "capitals":
            return text.replace("time,topic", "Time,Topic", 1).encode()
    raise ValueError(how)


TOOLS = ("byte order mark", "UTF-16", "UTF-16, other order", "Latin-1", "blank rows", "padded rows", "stray quote")
TOOLS += ("all quoted", "spaces", "other line ends", "no last line end", "capitals")


@pytest.mark.parametrize("how", TOOLS)
def test_csv_is_read_as_tools_leave_it(tmp_path, how):
    """The file of all topics, and the folder of three, under any name with brackets."""
    recording, log = some_recording(), tmp_path / "[red]log[bold].CSV"
    logs.write_csv(log, recording)
    rows = list(csv.reader(log.read_text().splitlines()))[1:]
    log.write_bytes(rewritten(log.read_text(), how))
    assert_same(logs.read(log), recording)
    for topic in logs.TOPICS:
        own = "\n".join([f"time,{topic}", *(",".join([row[0], *row[2:]]) for row in rows if row[1] == topic)])
        how_here = how if how not in ("stray quote", "Latin-1", "capitals") else "blank rows"
        (tmp_path / f"{topic}.csv").write_bytes(rewritten(own, how_here))
    assert_same(logs.read(tmp_path), recording)


@pytest.mark.parametrize("kind", [".csv", ".mcap", ".db3"])
def test_damaged_logs_are_read_or_refused_in_one_line(tmp_path, kind, recwarn):
    """Whatever a disk or an editor has done: finite numbers, or one sentence that names the file."""
    path, recording = tmp_path / f"log{kind}", some_recording(4)
    if kind == ".csv":
        logs.write_csv(path, recording)
    else:
        write_bag(tmp_path / "bag", recording, StoragePlugin.MCAP if kind == ".mcap" else StoragePlugin.SQLITE3)
        next((tmp_path / "bag").glob(f"*{kind}")).rename(path)
    outcomes = {"read": 0, "refused": 0}
    for content in damaged(path.read_bytes(), 300 if kind == ".csv" else 150):
        path.write_bytes(content)
        try:
            for messages in logs.read(path):
                assert np.all(np.isfinite(messages.time)) and np.all(np.isfinite(messages.values))
            outcomes["read"] += 1
        except UserError as error:
            assert str(error).isprintable() and str(path) in str(error) and len(str(error)) < 600
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 5, outcomes
    assert not recwarn.list


def test_damage_to_a_bag_is_of_many_kinds(tmp_path):
    """The control: what the library raises on the same damage, were it not for the one layer around it."""
    write_bag(tmp_path / "bag", some_recording(4))
    path = next((tmp_path / "bag").glob("*.mcap")).rename(tmp_path / "log.mcap")
    raised = set()
    for content in damaged(path.read_bytes(), 60):
        path.write_bytes(content)
        try:
            bag._read(path, [path], logs.TOPICS, get_typestore(Stores.ROS2_HUMBLE))
        except Exception as error:
            raised.add(type(error).__name__)
    assert len(raised - {"UserError", "AnyReaderError"}) > 1, raised


def test_rows_need_not_be_sorted(tmp_path):
    recording = some_recording()
    logs.write_csv(tmp_path / "log.csv", recording)
    header, *rows = (tmp_path / "log.csv").read_text().splitlines()
    (tmp_path / "log.csv").write_text("\n".join([header, *rows[::-1]]))
    assert_same(logs.read(tmp_path / "log.csv"), recording)


def test_folder_of_csv_files(tmp_path):
    recording = some_recording()
    for topic, messages in zip(logs.TOPICS, recording, strict=True):
        table = np.column_stack([messages.time, messages.values])
        np.savetxt(tmp_path / f"{topic}.csv", table, delimiter=",", header="time,values", fmt="%.12g")
    assert_same(logs.read(tmp_path), recording, 1e-9)


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("kind", ["Float32MultiArray", "Float64MultiArray"])
def test_bag_is_read(tmp_path, storage, kind):
    recording = some_recording()
    write_bag(tmp_path / "bag", recording, storage, kind=kind)
    assert_same(logs.read(tmp_path / "bag"), recording)
    (inside,) = [f for f in (tmp_path / "bag").iterdir() if f.suffix in bag.SUFFIXES]
    assert_same(logs.read(inside), recording)


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("left", ["nothing", "an empty file", "half a file", "another bag's"])
def test_bag_is_read_without_its_metadata(tmp_path, storage, left):
    """A power cut takes it, since the recorder writes it last."""
    recording, metadata = some_recording(), tmp_path / "bag" / "metadata.yaml"
    write_bag(tmp_path / "bag", recording, storage)
    text = metadata.read_text()
    metadata.unlink()
    if left != "nothing":
        metadata.write_text({"an empty file": "", "half a file": text[:300]}.get(left, text.replace("bag.", "other.")))
    assert_same(logs.read(tmp_path / "bag"), recording)
    assert_same(logs.read(next(f for f in (tmp_path / "bag").iterdir() if f.suffix in bag.SUFFIXES)), recording)


def test_parts_of_a_bag_are_read_together(tmp_path):
    """A long recording is split into files; without metadata their messages are one recording."""
    one, two = some_recording(), some_recording(seed=1)
    for name, recording in (("one", one), ("two", two)):
        write_bag(tmp_path / name, recording)
        next((tmp_path / name).glob("*.mcap")).rename(tmp_path / f"part_{name}.mcap")
        (tmp_path / name / "metadata.yaml").unlink()
        (tmp_path / name).rmdir()
    got = logs.read(tmp_path)
    for messages, *parts in zip(got, one, two, strict=True):
        np.testing.assert_allclose(messages.time, np.sort(np.concatenate([p.time for p in parts])), atol=1e-6)


def test_controller_with_most_observations_counts(tmp_path):
    """Both controllers of the robot may be in one bag; only one was active for long."""
    many, few = some_recording(20), some_recording(5, seed=1)
    logs.write_csv(tmp_path / "a.csv", many)
    logs.write_csv(tmp_path / "b.csv", few)
    text = (tmp_path / "a.csv").read_text()
    for topic in logs.TOPICS:
        text = text.replace(f",{topic},", f",/neural_controller/{topic},")
    other = (tmp_path / "b.csv").read_text().splitlines()[1:]
    for row in other:
        time, topic, rest = row.split(",", 2)
        text += f"{time},/neural_controller_three_legged/{topic},{rest}\n"
    (tmp_path / "both.csv").write_text(text)
    assert_same(logs.read(tmp_path / "both.csv"), many)


def broken(path, how):
    recording = some_recording()
    if how == "nothing there":
        return path / "none"
    if how == "no csv in folder":
        return path
    log = path / "log.csv"
    logs.write_csv(log, recording)
    text = log.read_text()
    if how == "header":
        log.write_text(text.replace("time,topic", "when,what", 1))
    elif how == "no observation":
        log.write_text(text.replace(",observation,", ",imu,"))
    elif how == "no output":
        log.write_text(text.replace(",policy_output,", ",imu,"))
    elif how == "text":
        log.write_text(text + "1.0,observation,abc\n")
    elif how == "sizes":
        log.write_text(text + "200.0,observation,1.0,2.0\n")
    elif how == "nan":
        log.write_text(text + "200.0,observation," + ",".join(["nan"] * 36) + "\n")
    elif how == "suffix":
        return log.rename(path / "log.txt")
    elif how == "no time":
        log.write_text(text + ",observation,1.0,2.0\n")
    elif how == "hole":
        log.write_text(text + "200.0,observation,1.0,,2.0\n")
    elif how == "no values":
        log.write_text(text + "200.0,observation,,\n")
    elif how == "semicolons":
        log.write_text(text.replace(",", ";"))
    elif how == "pointer":
        log.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:5ec0\nsize 1285538\n")
    elif how == "pointer to a bag":
        log.rename(path / "bag.mcap").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:5ec0\n")
        return path / "bag.mcap"
    elif how == "metadata alone":
        write_bag(path / "bag", recording)
        next((path / "bag").glob("*.mcap")).unlink()
        return path / "bag"
    elif how in ("cut", "cut alone"):
        write_bag(path / "bag", recording)
        file = next((path / "bag").glob("*.mcap"))
        file.write_bytes(file.read_bytes()[:-100])
        return path / "bag" if how == "cut" else file
    elif how == "not a database":
        (path / "log.db3").write_bytes(b"SQLite format 3\0" + bytes(100))
        return path / "log.db3"
    elif how == "type":
        bag = path / "bag"
        types = get_typestore(Stores.ROS2_HUMBLE)
        with Writer(bag, version=9) as writer:
            connection = writer.add_connection("/n/observation", "std_msgs/msg/Float32", typestore=types)
            message = types.types["std_msgs/msg/Float32"](data=1.0)
            writer.write(connection, 1, types.serialize_cdr(message, "std_msgs/msg/Float32"))
        return bag
    return log


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("nothing there", "ros2 bag record"),
        ("no csv in folder", "neither a ROS 2 bag"),
        ("header", "expected time,topic"),
        ("no observation", "observation"),
        ("no output", "no messages of policy_output"),
        ("text", r'log.csv:\d+: got "abc", expected a number'),
        ("no time", r"log.csv:\d+: got an empty cell, expected a number"),
        ("hole", r"log.csv:\d+: got an empty cell, expected a number"),
        ("no values", r"log.csv:\d+: got 2 cells, expected time,topic,value"),
        ("semicolons", 'got the header "time;topic;values.*expected time,topic'),
        ("pointer", "log.csv is a Git LFS pointer.*git lfs pull"),
        ("pointer to a bag", "bag.mcap is a Git LFS pointer.*git lfs pull"),
        ("sizes", "messages of 2, 36 numbers"),
        ("nan", "finite"),
        ("suffix", "expected a ROS 2 bag"),
        ("metadata alone", r"a damaged ROS 2 bag \(AnyReaderError: Some database files are missing"),
        ("cut", r"bag: a damaged ROS 2 bag \(AnyReaderError: .*; `mcap recover` may save"),
        ("cut alone", r"mcap: a damaged ROS 2 bag \(AnyReaderError: .*; `mcap recover` may save"),
        ("not a database", r"log.db3: a damaged ROS 2 bag \(.*; `sqlite3 FILE .recover` may save"),
        ("type", "expected a MultiArray"),
    ],
)
def test_mistakes_are_answered(tmp_path, how, says):
    with pytest.raises(UserError, match=says) as caught:
        logs.read(broken(tmp_path, how))
    assert str(caught.value).isprintable()
