"""Train the CLIP-format BPE tokenizer on scene captions: vocab.json, merges.txt and the two config files.

The weights of the text encoder belong to one tokenizer: a new one means training from nothing.
"""
import json
import os
import random

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from . import scenes
from .loop import say

OTHER_WORDS = ('a photo of a cat and a dog, highly detailed, digital art, oil painting, watercolor, cinematic lighting, masterpiece, best quality, '
               'low quality, blurry, bad anatomy, text, watermark')
CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def learn_merges(captions: int, seed: int) -> tuple[list[str], list[str]]:
    """Vocabulary in CLIP's order (bytes, bytes that end a word, merged pieces) and its merges."""
    rng = random.Random(seed)
    texts = [scenes.caption(scenes.sample(rng), rng) for _ in range(captions)]
    bpe = Tokenizer(models.BPE(end_of_word_suffix='</w>', continuing_subword_prefix='', unk_token='<|endoftext|>'))
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r'\s+'), ' '), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(CLIP_WORDS), behavior='removed', invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator(texts + [OTHER_WORDS] * 200, trainers.BpeTrainer(
        vocab_size=1500, initial_alphabet=alphabet, end_of_word_suffix='</w>', min_frequency=20, special_tokens=[]))
    vocabulary = alphabet + [letter + '</w>' for letter in alphabet]
    known, merges = set(vocabulary), []
    for merge in json.loads(bpe.to_str())['model']['merges']:
        left, right = merge if isinstance(merge, list) else merge.split(' ')
        if left in known and right in known:
            merges.append(f'{left} {right}')
            if left + right not in known:
                known.add(left + right)
                vocabulary.append(left + right)
    return vocabulary, merges


def train(out: str, captions: int = 40_000, seed: int = 5) -> None:
    vocabulary, merges = learn_merges(captions, seed)
    vocabulary += ['<|startoftext|>', '<|endoftext|>']
    os.makedirs(out, exist_ok=True)
    names = {'bos_token': '<|startoftext|>', 'eos_token': '<|endoftext|>', 'pad_token': '<|endoftext|>', 'unk_token': '<|endoftext|>'}
    config = {'add_prefix_space': False, **names, 'do_lower_case': True, 'errors': 'replace', 'model_max_length': 77, 'tokenizer_class': 'CLIPTokenizer'}
    write = lambda name, text: open(os.path.join(out, name), 'w', encoding='utf-8').write(text)
    write('vocab.json', json.dumps({token: i for i, token in enumerate(vocabulary)}, ensure_ascii=False))
    write('merges.txt', '#version: 0.2\n' + '\n'.join(merges) + '\n')
    write('special_tokens_map.json', json.dumps(names, indent=1))
    write('tokenizer_config.json', json.dumps(config, indent=1))
    read = CLIPTokenizer.from_pretrained(out)
    say(f'tokenizer: {len(vocabulary)} tokens; "hot air balloon over the ocean" is {read.tokenize("hot air balloon over the ocean")}')
