#!/usr/bin/env python3
"""Loads a training file that gear wrote with PyTorch itself, as the Python reference would.

    build/release/gear convert RUN_FOLDER x.pt
    build/release/gear convert RUN_FOLDER --names > names.json
    scripts/check_reference_pt.py x.pt names.json

It reads x.pt by torch.load(weights_only=True), compares every network with the names, shapes and
types of names.json (none missing, none left over), and hands every optimizer and schedule to
PyTorch's own. Where the environment variable GEAR_REF names a checkout of the Python reference, the
networks are also loaded strictly into its modules.

Exit status: 0 all well, 1 something differs, 77 this Python has no torch. gear needs no Python.
"""

import json
import os
import sys

NO_TORCH = 77
problems = []


def expect(condition, text):
    if not condition:
        problems.append(text)


def dtype_name(tensor):
    return str(tensor.dtype).removeprefix("torch.")


def check_network(key, found, expected):
    for name in expected.keys() - found.keys():
        problems.append(f"{key}: lacks {name}")
    for name in found.keys() - expected.keys():
        problems.append(f"{key}: has {name}, which no network registers")
    for name in expected.keys() & found.keys():
        shape, dtype = list(found[name].shape), dtype_name(found[name])
        expect(shape == expected[name]["shape"], f"{key}: {name} has the shape {shape}")
        expect(dtype == expected[name]["dtype"], f"{key}: {name} is {dtype}")


def check_optimizer(torch, key, state, shapes):
    """PyTorch's AdamW takes the state for parameters of these shapes, then steps with it."""
    listed = len(state["param_groups"][0]["params"])
    expect(listed >= len(shapes), f"{key}: lists {listed} parameters, trained are {len(shapes)}")
    frozen = [[1]] * (listed - len(shapes))
    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in shapes + frozen]
    optimizer = torch.optim.AdamW(parameters)
    optimizer.load_state_dict(state)
    for parameter, shape in zip(parameters, shapes):
        moments = optimizer.state.get(parameter)
        if moments is None:
            continue
        for which in ("exp_avg", "exp_avg_sq"):
            expect(list(moments[which].shape) == shape, f"{key}: {which} does not fit {shape}")
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer


def check_schedule(torch, key, state, optimizer, steps):
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    schedule.load_state_dict(state)
    expect(schedule.last_epoch == steps, f"{key}: stands at {schedule.last_epoch}, not {steps}")


def count(names, beginning):
    """How many modules `beginning`0, `beginning`1, ... there are."""
    rests = [name.removeprefix(beginning) for name in names if name.startswith(beginning)]
    return len({rest.split(".")[0] for rest in rests if rest.split(".")[0].isdigit()})


def levels_of(state, stem, block):
    """Width multipliers of an encoder's levels."""
    base = state["encoder.conv_in.weight"].shape[0]
    return [
        state[f"{stem}.{level}.{block}.0.conv1.weight"].shape[0] // base
        for level in range(count(state, stem + "."))
    ]


def reference_vq(state):
    from models import vq_model

    codes, width = state["quantize.embedding.weight"].shape
    latent, base = state["encoder.conv_out.weight"].shape[0], state["encoder.conv_in.weight"].shape[0]
    levels = levels_of(state, "encoder.conv_blocks", "res")
    model = vq_model.VQModel(
        vq_model.ModelArgs(
            codebook_size=codes, codebook_embed_dim=width, encoder_ch_mult=levels,
            decoder_ch_mult=levels, z_channels=latent,
        )
    )
    blocks = count(state, "encoder.conv_blocks.0.res.")
    sizes = dict(ch=base, ch_mult=levels, z_channels=latent, num_res_blocks=blocks)
    model.encoder, model.decoder = vq_model.Encoder(**sizes), vq_model.Decoder(**sizes)
    return model


def reference_ibq(state):
    from models import ibq_model

    codes, width = state["quantize.embedding.weight"].shape
    levels = levels_of(state, "encoder.down", "block")
    attention = [256 >> level for level in range(len(levels))
                 if f"encoder.down.{level}.attn.0.q.weight" in state]
    return ibq_model.IBQModel(
        ibq_model.IBQModelArgs(
            codebook_size=codes, codebook_embed_dim=width,
            z_channels=state["encoder.conv_out.weight"].shape[0],
            ch=state["encoder.conv_in.weight"].shape[0], ch_mult=levels,
            num_res_blocks=count(state, "encoder.down.0.block."), attn_resolutions=attention,
            resolution=256,
        )
    )


def reference_lfq(state):
    from models import lfq_model

    bits = state["encoder.conv_out.weight"].shape[0]
    return lfq_model.LFQModel(
        lfq_model.LFQModelArgs(
            codebook_size=2**bits, codebook_embed_dim=bits, z_channels=bits,
            ch=state["encoder.conv_in.weight"].shape[0],
            ch_mult=levels_of(state, "encoder.down", "block"),
            num_res_blocks=count(state, "encoder.down.0.block."),
        )
    )


def reference_tokenizer(state):
    """None for the families that the reference does not have."""
    if "quantize.embedding_proj.weight" in state:
        return None  # SimVQ
    if "decoder.adaptive.0.gamma.weight" in state:
        return reference_lfq(state)
    if "quantize.embedding.weight" not in state:
        return None  # FSQ
    return reference_ibq(state) if "encoder.down.0.block.0.conv1.weight" in state else reference_vq(state)


def reference_transformer(state):
    from models import llamagen

    codes, width = state["tok_embeddings.weight"].shape
    return llamagen.Transformer(
        llamagen.ModelArgs(
            dim=width, n_layer=count(state, "layers."), n_head=1, vocab_size=codes, block_size=256,
            num_classes=state["cls_embedding.embedding_table.weight"].shape[0] - 1,
            multiple_of=state["layers.0.feed_forward.w1.weight"].shape[0],
        )
    )


def check_against_reference(folder, sections):
    sys.path.insert(0, folder)
    builders = {"vq": reference_tokenizer, "vq_ema": reference_tokenizer,
                "ar": reference_transformer, "ema": reference_transformer}
    for key, build in builders.items():
        if key not in sections:
            continue
        model = build(sections[key])
        if model is None:
            print(f"{key}: the reference has no such tokenizer, so it is not loaded into it")
            continue
        try:
            model.load_state_dict(sections[key], strict=True)
            print(f"{key}: loaded strictly into {type(model).__name__} of the reference")
        except RuntimeError as error:
            problems.append(f"{key}: the reference refuses it: {error}")


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        import torch
    except ImportError:
        print(f"{sys.executable} has no torch; `pip install torch` gives it", file=sys.stderr)
        return NO_TORCH
    content = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
    with open(sys.argv[2]) as stream:
        expected = json.load(stream)

    for key, tensors in expected["networks"].items():
        expect(key in content, f"{key} is missing")
        check_network(key, content.get(key, {}), tensors)
    for key, shapes in expected["optimizers"].items():
        optimizer = check_optimizer(torch, key, content[key], shapes)
        schedule = key.replace("opt_", "sched_")
        if schedule != key and schedule in content:
            check_schedule(torch, schedule, content[schedule], optimizer, content["steps"])
    expect(isinstance(content["args"], dict), "args is no dictionary")
    expect(isinstance(content["steps"], int), "steps is no integer")
    if os.environ.get("GEAR_REF"):
        check_against_reference(os.environ["GEAR_REF"], content)

    for problem in problems:
        print(problem, file=sys.stderr)
    tensors = sum(len(names) for names in expected["networks"].values())
    if not problems:
        print(f"torch {torch.__version__} loads {sys.argv[1]}: {tensors} tensors as expected")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
