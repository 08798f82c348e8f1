"""Descriptions in TOML and JSON: written by hand, written by us, and every mistake with its place."""

import json
import tomllib

import pytest

import normfield as nf

BY_HAND = """
input_shape = [3, 16, 16]
bias_variance = 0.0          # σ_w² keeps its default, 2

[[layers]]
type = "Conv"
channels = 8
kernel = [3, 5]
padding = [1, 2]

[[layers]]
type = "Residual"

[[layers.branch]]
type = "BatchNorm"
gamma = 0.5

[[layers.branch]]
type = "Activation"
function = "leaky_relu"
slope = 0.2

[[layers.branch]]
type = "Conv"
channels = 8
padding = 1
bias = false

[[layers.shortcut]]
type = "Conv"
channels = 8
kernel = 1
weight_variance = 1

[[layers]]
type = "MaxPool"

[[layers]]
type = "GlobalAveragePool"

[[layers]]
type = "Dense"
width = 10
"""

BY_CODE = nf.Network(
    (3, 16, 16),
    [
        nf.Conv(8, (3, 5), padding=(1, 2)),
        nf.Residual(
            [nf.BatchNorm(0.5), nf.Activation("leaky_relu", slope=0.2), nf.Conv(8, padding=1, bias=False)],
            [nf.Conv(8, kernel=1, weight_variance=1)],
        ),
        nf.MaxPool(),
        nf.GlobalAveragePool(),
        nf.Dense(10),
    ],
    bias_variance=0.0,
)


def test_a_file_by_hand_is_the_network_by_code():
    assert nf.Network.from_toml(BY_HAND) == BY_CODE
    assert nf.Network.from_dict(tomllib.loads(BY_HAND)) == BY_CODE


def test_both_forms_go_there_and_back():
    assert nf.Network.from_toml(BY_CODE.to_toml()) == BY_CODE
    assert nf.Network.from_json(BY_CODE.to_json()) == BY_CODE
    assert json.loads(BY_CODE.to_json()) == tomllib.loads(BY_CODE.to_toml()) == BY_CODE.to_dict()


def test_every_layer_is_a_table_of_its_own():
    text = BY_CODE.to_toml()
    assert text.count("[[layers]]") == 5
    assert text.count("[[layers.branch]]") == 3
    assert text.count("[[layers.shortcut]]") == 1
    assert "{" not in text
    deep = nf.Network((4,), [nf.Residual([nf.Residual([nf.Dense(4)], [nf.BatchNorm()]), nf.Dense(4)])])
    assert "[[layers.branch.shortcut]]" in deep.to_toml()
    assert nf.Network.from_toml(deep.to_toml()) == deep


def test_defaults_are_left_out_and_pairs_of_equals_are_one_number():
    tables = BY_CODE.to_dict()["layers"]
    assert tables[0] == {"type": "Conv", "channels": 8, "kernel": [3, 5], "padding": [1, 2]}
    assert tables[1]["shortcut"] == [{"type": "Conv", "channels": 8, "kernel": 1, "weight_variance": 1.0}]
    assert tables[2] == {"type": "MaxPool"}
    assert nf.mlp(3, 4, 2, 2).to_dict()["layers"][2] == {"type": "Activation", "function": "relu"}


@pytest.mark.parametrize("ending", [".toml", ".json"])
def test_files(tmp_path, ending):
    file = tmp_path / f"net{ending}"
    file.write_text(BY_CODE.to_toml() if ending == ".toml" else BY_CODE.to_json(), encoding="utf-8")
    assert nf.read_network(file) == BY_CODE
    assert nf.read_network(str(file)) == BY_CODE


def test_a_function_cannot_be_stored_and_a_known_row_can():
    with pytest.raises(nf.InvalidInput, match="got cube; a function is code, which a file does not hold"):
        nf.mlp(3, 4, 2, 2, activation=nf.ActivationFunction("cube", lambda ops, x: x**3)).to_toml()
    with pytest.raises(nf.InvalidInput, match="an activation with a name, to store it, got <function"):
        nf.mlp(3, 4, 2, 2, activation=lambda x: x**3).to_json()
    from normfield.network import ACTIVATIONS

    assert nf.Activation(ACTIVATIONS["tanh"]) == nf.Activation("tanh")


def changed(old, new):
    assert old in BY_HAND
    return BY_HAND.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            changed("gamma = 0.5", "gama = 0.5"),
            "expected keys among gamma, beta, eps in layer 2 (Residual), branch 1 (BatchNorm), got unknown key 'gama'; "
            "did you mean 'gamma'?",
        ),
        (changed("bias_variance", "bias_var"), "in the network, got unknown key 'bias_var'; did you mean 'bias_v"),
        (changed('"Conv"', '"conv"'), "in layer 1, got 'conv'; did you mean 'Conv'?"),
        (changed('"Conv"', '"Attention"'), "expected a type among Dense, Conv, BatchNorm"),
        (changed('"Conv"', "3"), "in layer 1, got 3"),
        (changed('type = "Dense"\n', ""), "layer 5 as a table with a type, got {'width': 10}; e.g. type = \"Dense\""),
        (changed("width = 10", ""), "expected the key 'width' in layer 5 (Dense), got none"),
        (changed("width = 10", 'width = "10"'), "expected width as a whole number in layer 5 (Dense), got '10'"),
        (changed("width = 10", "width = 10.0"), "expected width as a whole number in layer 5 (Dense), got 10.0"),
        (changed("width = 10", "width = true"), "expected width as a whole number in layer 5 (Dense), got True"),
        (changed("width = 10", "width = 0"), "the width of Dense of at least 1, got 0 in layer 5 (Dense)"),
        (changed("slope = 0.2", "slope = nan"), "a finite slope, got nan in layer 2 (Residual), branch 2 (Activation)"),
        (changed("0.2", "[0.2]"), "slope as a number in layer 2 (Residual), branch 2 (Activation), got [0.2]"),
        (changed("bias = false", "bias = 0"), "bias as true or false in layer 2 (Residual), branch 3 (Conv), got 0"),
        (changed('"leaky_relu"\nslope = 0.2', '"cube"'), "expected an activation among relu"),
        (changed('"leaky_relu"', "1"), "function as a name in layer 2 (Residual), branch 2 (Activation), got 1"),
        (changed("[3, 5]", "[3, 5, 7]"), "kernel as a whole number or a list of two in layer 1 (Conv), got [3, 5, 7]"),
        (changed("[3, 16, 16]", '"3x16x16"'), "input_shape as a list of whole numbers, got '3x16x16'"),
        (changed("[3, 16, 16]", "[3, 16]"), "input_shape as (features,) or (channels, height, width)"),
        (changed("input_shape = [3, 16, 16]", ""), "expected the key 'input_shape' in the network, got none"),
        (changed("variance = 0.0 ", 'variance = "0" '), "bias_variance of the network as a number, got '0'"),
        (changed("variance = 0.0 ", "variance = -1 "), "a finite bias_variance of at least 0, got -1"),
        (changed("kernel = 1\n", "kernel = 3\n"), "branch and shortcut of Residual to end in one shape"),
        (changed("[[layers]]", "[[layers]"), "expected a network as TOML text, got an error in it: "),
        ("layers = []\ninput_shape = [3]", "at least one Dense or Conv among the layers"),
        ("layers = 3\ninput_shape = [3]", "a list of tables for the layers of the network, got 3"),
        ("layers = [3]\ninput_shape = [3]", "layer 1 as a table with a type, got 3"),
        ('input_shape = 3\n[[layers]]\ntype = "Flatten"\nx = 1', "no keys but type in layer 1 (Flatten), got"),
        ('input_shape = 3\n[[layers]]\ntype = "Residual"\nbranch = 2', "for the branch of layer 1 (Residual), got 2"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_place(text, words):
    with pytest.raises(nf.InvalidInput) as refused:
        nf.Network.from_toml(text)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "a network as a table with input_shape and layers, got []"),
        ("null", "a network as a table with input_shape and layers, got None"),
        ('{"layers": [], "layers": []}', "each key once in a table of JSON, got 'layers' twice"),
        ('{"layers": [', "expected a network as JSON text, got an error in it: "),
        (
            '{"input_shape": [3], "weight_variance": NaN, "layers": []}',
            "a finite weight_variance above 0, got nan",
        ),
        ("[" * 100_000, "expected a network as JSON text, got an error in it"),
    ],
)
def test_mistakes_in_json(text, words):
    with pytest.raises(nf.InvalidInput) as refused:
        nf.Network.from_json(text)
    assert words in str(refused.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(nf.InvalidInput, match=r"a description in a \.toml or \.json file, got net\.yaml"):
        nf.read_network("net.yaml")
    with pytest.raises(nf.InvalidInput, match=r"expected a readable file .*No such file"):
        nf.read_network(tmp_path / "absent.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# \xe9\xff")
    with pytest.raises(nf.InvalidInput, match="got it is not UTF-8 text"):
        nf.read_network(latin)
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    with pytest.raises(
        nf.InvalidInput, match=r"expected the key 'input_shape' in the network, got none in .*wrong\.json"
    ):
        nf.read_network(wrong)
