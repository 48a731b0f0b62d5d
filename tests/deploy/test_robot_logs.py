"""Recordings: what is written is read back, bags and CSV alike, and mistakes are answered with what to do."""

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from walkies.deploy import logs
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
    (inside,) = [f for f in (tmp_path / "bag").iterdir() if f.suffix in logs.BAG_SUFFIXES]
    assert_same(logs.read(inside), recording)


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
    elif how == "metadata":
        write_bag(path / "bag", recording)
        (path / "bag" / "metadata.yaml").unlink()
        return next((path / "bag").glob("*.mcap"))
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
        ("text", r"log.csv:\d+: expected numbers"),
        ("sizes", r"\[2, 36\]"),
        ("nan", "finite"),
        ("suffix", "expected a ROS 2 bag"),
        ("metadata", "reindex"),
        ("type", "expected a MultiArray"),
    ],
)
def test_mistakes_are_answered(tmp_path, how, says):
    with pytest.raises(UserError, match=says):
        logs.read(broken(tmp_path, how))
