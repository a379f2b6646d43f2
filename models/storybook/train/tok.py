"""Train the CLIP-format BPE tokenizer on scene captions; writes vocab.json, merges.txt and the two config files.

The shipped tokenizer (859 tokens) was made by this; the weights belong to it, so train_unet.py leaves it as it is.

Run:  python tok.py --out ../torch/tokenizer [--captions 40000]
"""
import argparse
import json
import os
import random

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

import scenes

EXTRA = 'a photo of a cat and a dog, highly detailed, digital art, oil painting, watercolor, cinematic lighting, masterpiece, best quality, low quality, blurry, bad anatomy, text, watermark'


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--out', required=True); a.add_argument('--captions', type=int, default=40000); a = a.parse_args(); rng = random.Random(5)
    caps = [scenes.caption(scenes.sample(rng), rng) for _ in range(a.captions)]
    t = Tokenizer(models.BPE(end_of_word_suffix='</w>', continuing_subword_prefix='', unk_token='<|endoftext|>'))
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r'\s+'), ' '), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), behavior='removed', invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    t.train_from_iterator(caps + [EXTRA] * 200, trainers.BpeTrainer(vocab_size=1500, initial_alphabet=alphabet, end_of_word_suffix='</w>', min_frequency=20, special_tokens=[]))
    vocab = alphabet + [c + '</w>' for c in alphabet]; seen = set(vocab); out = []
    for x in json.loads(t.to_str())['model']['merges']:
        x = ' '.join(x) if isinstance(x, list) else x; p, q = x.split(' ')
        if p in seen and q in seen:
            out.append(x)
            if p + q not in seen: seen.add(p + q); vocab.append(p + q)
    vocab += ['<|startoftext|>', '<|endoftext|>']; os.makedirs(a.out, exist_ok=True)
    names = {'bos_token': '<|startoftext|>', 'eos_token': '<|endoftext|>', 'pad_token': '<|endoftext|>', 'unk_token': '<|endoftext|>'}
    json.dump({v: i for i, v in enumerate(vocab)}, open(f'{a.out}/vocab.json', 'w'), ensure_ascii=False)
    open(f'{a.out}/merges.txt', 'w').write('#version: 0.2\n' + '\n'.join(out) + '\n')
    json.dump(names, open(f'{a.out}/special_tokens_map.json', 'w'), indent=1)
    json.dump({'add_prefix_space': False, **names, 'do_lower_case': True, 'errors': 'replace', 'model_max_length': 77, 'tokenizer_class': 'CLIPTokenizer'}, open(f'{a.out}/tokenizer_config.json', 'w'), indent=1)
    k = CLIPTokenizer.from_pretrained(a.out); print(len(vocab), 'tokens,', len(out), 'merges')
    for s in ('a lighthouse on a cliff at sunset', 'hot air balloon over the ocean, storybook illustration', "Zürich's dragon 2049!"): print(k.convert_ids_to_tokens(k(s).input_ids))


if __name__ == '__main__':
    main()
