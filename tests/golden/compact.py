#!/usr/bin/env python3
"""Makes the compact golden cases of this folder from the whole set: compact.py [SOURCE].

Values are copied, never computed: a case is cut by leaving tensors, files or images out, and its
case.json lists what is left. README.md says what was cut and why.
"""

import json
import shutil
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIMIT = 8_000_000  # bytes, all files together

# Copied as they are, but for what a rule below leaves out.
CASES = [
    'align', 'ar_c2i_gqa', 'ar_generate', 'dinov2_samegrid', 'disc_groupnorm', 'disc_loss',
    'dual_readout_vq', 'full_llamagen_b', 'gear_step_vq', 'lpips_full', 'optim',
    'quantizer_vq_nol2', 'recon_metrics', 'tok_vq',
]

# Parts (files) that are left out, and tensors kept of those that stay.
LEFT_OUT = {'ar_c2i_gqa': {'grads'}, 'tok_vq': {'grads'}}
KEPT = {
    ('tok_vq', 'outputs'): lambda name: not name.startswith('soft_T'),
    ('ar_generate', 'outputs'): lambda name: name not in (
        'cfg2.step_logits', 'cfg_below_1.step_logits', 'temp0.step_logits'),
    ('dual_readout_vq', 'grads'): lambda name: not name.startswith('ste:vq.'),
    ('gear_step_vq', 'outputs'): lambda name: not name.startswith(('final.', 'final_norm.')),
}

# All transforms are kept of the first group, the decoded pixels alone of the second.
TRANSFORMED = ['odd_crop.png', 'one_pixel.png']
DECODED = [
    'bitmap.bmp', 'cmyk.jpg', 'exif_orientation6.jpg', 'gray.jpg', 'gray16.png', 'gray_alpha.png',
    'lossless.webp', 'onebit.png', 'palette_transparency.png', 'progressive.jpg', 'rgb16.png',
    'rgb420.jpg', 'rgba.png',
]

# Those of the networks in the recipes of configs/, which a test compares with them.
MANIFESTS = [
    'llamagen-b_c2i_256', 'llamagen-l_c2i_256', 'llamagen-xl_c2i_256', 'vq-16', 'vq-8', 'lfq-16',
    'ibq-16', 'dinov2_vitb14', 'dinov2_vits14_reg', 'lpips_vgg', 'patchgan',
    'projector_b_dinov2b', 'projector_l_dinov2b', 'projector_xl_dinov2b',
]

GOOD_CHECKPOINTS = [
    'legacy_mixed.pt', 'mixed.safetensors', 'no_tensors.safetensors', 'padded_header.safetensors',
    'sharded-00001-of-00002.safetensors', 'sharded-00002-of-00002.safetensors',
    'sharded.safetensors.index.json', 'stage0.pt', 'zip_mixed.pt', 'zip_mixed_protocol4.pt',
    'zip_old_layout.pt', 'zip_shuffled_records.pt',
]


def read_tensors(path):
    """{name: (dtype, shape, bytes)} of a safetensors file."""
    data = path.read_bytes()
    start = 8 + struct.unpack('<Q', data[:8])[0]
    header = json.loads(data[8:start])
    header.pop('__metadata__', None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry['data_offsets']
        tensors[name] = (entry['dtype'], entry['shape'], data[start + begin:start + end])
    return tensors


def write_tensors(path, tensors):
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {'dtype': dtype, 'shape': shape, 'data_offsets': [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    path.write_bytes(struct.pack('<Q', len(text)) + text + b''.join(t[2] for t in tensors.values()))


def read_json(path):
    return json.loads(path.read_text())


def write_json(path, value):
    path.write_text(json.dumps(value, separators=(',', ':'), ensure_ascii=False))


def fresh_folder(name):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def kept(mapping, wanted):
    return {name: value for name, value in mapping.items() if wanted(name)}


def leave_out_shapes(listed):
    """They stand in the safetensors files too."""
    for part in ('weights', 'inputs'):
        listed.pop(part, None)
    for tensors in listed.values():
        for entry in tensors.values():
            entry.pop('shape', None)
            entry.pop('dtype', None)


def compact_plain(source, name):
    folder = fresh_folder(name)
    case = read_json(source / name / 'case.json')
    for part in ('weights', 'inputs', 'outputs', 'grads'):
        path = source / name / f'{part}.safetensors'
        listed = case.get('tensors', {})
        if part in LEFT_OUT.get(name, ()):
            listed.pop(part, None)
        elif path.exists():
            wanted = KEPT.get((name, part), lambda tensor: True)
            write_tensors(folder / path.name, kept(read_tensors(path), wanted))
            if part in listed:
                listed[part] = kept(listed[part], wanted)
    leave_out_shapes(case.get('tensors', {}))
    if name == 'gear_step_vq':
        left_out = ('final.', 'final_norm.')
        case['rounding_only'] = [n for n in case['rounding_only'] if not n.startswith(left_out)]
    write_json(folder / 'case.json', case)


def compact_train_steps(source):
    """The run without alignment; codes stand for images and tokenizer, which need 1.8 MB."""
    name = 'gear_step_ntp_only'
    folder = fresh_folder(name)
    case = read_json(source / name / 'case.json')
    weights = read_tensors((source / name) / case['files']['weights'])
    write_tensors(folder / 'weights.safetensors', kept(weights, lambda n: n.startswith('ar.')))

    outputs = read_tensors(source / name / 'outputs.safetensors')
    dtype, (steps, tokens), data = outputs['indices']
    batch, grid = case['config']['batch'], case['grid']
    assert dtype == 'I64' and tokens == batch * grid * grid
    codes = struct.pack(f'<{steps * tokens}f', *struct.unpack(f'<{steps * tokens}q', data))
    inputs = read_tensors(source / name / 'inputs.safetensors')
    write_tensors(folder / 'inputs.safetensors', {
        'labels': inputs['labels'],
        'codes': ('F32', [steps, batch, 1, grid, grid], codes),
    })

    def of_the_end(tensor):
        return not tensor.startswith('after1.')

    write_tensors(folder / 'outputs.safetensors', kept(outputs, of_the_end))
    case['files']['weights'] = 'weights.safetensors'
    case['noise']['delta_l2_and_noise_l2'] = kept(case['noise']['delta_l2_and_noise_l2'], of_the_end)
    case['notes'] = ['Input `codes` [steps, B, 1, grid, grid] stands for images and tokenizer.']
    write_json(folder / 'case.json', case)


def compact_preprocess(source):
    name = 'preprocess'
    folder = fresh_folder(name)
    (folder / 'images').mkdir()
    for image in TRANSFORMED + DECODED:
        shutil.copyfile(source / name / 'images' / image, folder / 'images' / image)
    shutil.copytree(source / name / 'bad_images', folder / 'bad_images',
                    copy_function=shutil.copyfile)

    def wanted(tensor):
        image, value = tensor.rsplit('/', 1)
        return image in TRANSFORMED or (image in DECODED and value == 'rgb')

    expected = read_tensors(source / name / 'expected.safetensors')
    write_tensors(folder / 'expected.safetensors', kept(expected, wanted))
    case = read_json(source / name / 'case.json')
    case['images'] = kept(case['images'], lambda image: image in TRANSFORMED + DECODED)
    write_json(folder / 'case.json', case)


def compact_manifests(source):
    folder = fresh_folder('manifests')
    case = read_json(source / 'manifests/case.json')
    case['models'] = kept(case['models'], lambda model: model in MANIFESTS)
    write_json(folder / 'case.json', case)
    for model in MANIFESTS:
        write_json(folder / f'{model}.json', read_json(source / f'manifests/{model}.json'))


def compact_checkpoints(source):
    name = 'checkpoints'
    folder = fresh_folder(name)
    (folder / 'good').mkdir()
    for file in GOOD_CHECKPOINTS:
        shutil.copyfile(source / name / 'good' / file, folder / 'good' / file)
    shutil.copytree(source / name / 'malformed', folder / 'malformed',
                    copy_function=shutil.copyfile,
                    ignore=shutil.ignore_patterns('deep_nesting.pt'))

    def wanted(tensor):
        file = tensor.split('//')[0].split('#')[0]
        return file in GOOD_CHECKPOINTS

    expected = read_tensors(source / name / 'expected.safetensors')
    write_tensors(folder / 'expected.safetensors', kept(expected, wanted))
    case = read_json(source / name / 'case.json')
    case['good'] = kept(case['good'], lambda file: file in GOOD_CHECKPOINTS)
    case['malformed'].pop('deep_nesting.pt')
    write_json(folder / 'case.json', case)


def main():
    source = Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parents[2] / 'shared/golden')
    for name in CASES:
        compact_plain(source, name)
    compact_train_steps(source)
    compact_preprocess(source)
    compact_manifests(source)
    compact_checkpoints(source)
    size = sum(path.stat().st_size for path in HERE.rglob('*') if path.is_file())
    print(f'{HERE}: {size} bytes')
    if size > LIMIT:
        sys.exit(f'compact.py: the cases have {size} bytes, at most {LIMIT} are allowed')


main()
