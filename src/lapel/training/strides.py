"""Moves strides towards the input of an ONNX graph, where they save work. The numbers stay exactly the same.

A ResNet with v1 strides halves the picture in 1 x 1 convolutions, which throw three of four places away after the block
before them
has computed all four. Here that block computes only what is kept. It also keeps 8 bits fast: OpenVINO makes this move
itself, but
for float layers only, and falls back to float32 for a quantised convolution it was made on.
"""

from __future__ import annotations

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, helper


def move_strides_up(model: ModelProto) -> int:
    """Rewrite the graph in place.

    Returns:
        How many tensors became smaller at their source.
    """
    moved = 0
    while (tensor := _halved_by_all(model.graph)) is not None:
        users = _users(model.graph, tensor)
        stride = _ints(users[0], "strides", (1, 1))
        for node in users:
            _set_ints(node, "strides", (1, 1))
        kept = _thin(model.graph, tensor, stride, alone=True)
        for node in users:
            node.input[0] = kept
        moved += 1
    if moved:
        del model.graph.value_info[:]  # shapes that are no longer true; whoever needs them infers them again
    return moved


def _halved_by_all(graph: GraphProto) -> str | None:
    """The first tensor that all who use it read with the same stride through a 1 x 1 window, so that the rest is never
    looked at."""
    outputs = {output.name for output in graph.output}
    sizes = {weights.name: tuple(weights.dims[2:]) for weights in graph.initializer}
    for maker in graph.node:
        for tensor in maker.output:
            users = _users(graph, tensor)
            if not users or tensor in outputs or maker.op_type not in ("Conv", "Relu", "Clip", "Add"):
                continue
            strides = {_ints(node, "strides", (1, 1)) for node in users}
            if len(strides) == 1 and strides != {(1, 1)} and all(_is_point(node, sizes) for node in users):
                return str(tensor)
    return None


def _thin(graph: GraphProto, tensor: str, stride: tuple[int, ...], *, alone: bool) -> str:
    """Make only every ``stride``-th place of a tensor and return the name it has; ``alone``: nobody needs the other
    places."""
    maker = next((node for node in graph.node if tensor in node.output), None)
    if maker is not None and alone:
        if maker.op_type in ("Relu", "Clip"):
            _thin_input(graph, maker, 0, stride)
            return tensor
        if maker.op_type == "Add" and not {entry.name for entry in graph.initializer} & set(maker.input):
            for number in (0, 1):
                _thin_input(graph, maker, number, stride)
            return tensor
        if maker.op_type == "Conv" and _ints(maker, "strides", (1, 1)) == (1, 1):
            _set_ints(maker, "strides", stride)
            return tensor
    thin = f"{tensor}_thin"
    position = 1 + next((at for at, node in enumerate(graph.node) if node is maker), -1)
    pick = helper.make_node(
        "MaxPool", [tensor], [thin], name=f"node_{thin}", kernel_shape=[1] * len(stride), strides=list(stride)
    )
    graph.node.insert(position, pick)
    return thin


def _thin_input(graph: GraphProto, node: NodeProto, number: int, stride: tuple[int, ...]) -> None:
    tensor = node.input[number]
    node.input[number] = _thin(graph, tensor, stride, alone=len(_users(graph, tensor)) == 1)


def _is_point(node: NodeProto, sizes: dict[str, tuple[int, ...]]) -> bool:
    """Whether a node is a convolution that reads one place and pads nothing."""
    return node.op_type == "Conv" and set(sizes.get(node.input[1], (0,))) == {1} and not any(_ints(node, "pads", (0,)))


def _users(graph: GraphProto, tensor: str) -> list[NodeProto]:
    return [node for node in graph.node if tensor in node.input]


def _ints(node: NodeProto, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    return next((tuple(entry.ints) for entry in node.attribute if entry.name == name), default)


def _set_ints(node: NodeProto, name: str, values: tuple[int, ...]) -> None:
    kept = [entry for entry in node.attribute if entry.name != name]
    changed: AttributeProto = helper.make_attribute(name, list(values))
    del node.attribute[:]
    node.attribute.extend([*kept, changed])
