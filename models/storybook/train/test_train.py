"""python -m unittest train.test_train   (from models/storybook): the parts whose mistakes no loss curve shows."""
import json
import os
import random
import tempfile
import unittest

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image

from . import autoencoder, export, inpaint, judge, scenes, student, teacher, unpack, weights
from .latents import cell_of, own_pictures
from .networks import new_scheduler, new_unet, widen_input

SHIPPED = os.path.join(os.path.dirname(__file__), '..')


class Files(unittest.TestCase):
    def test_int8_is_near_and_rounding_again_changes_nothing(self):
        values = np.random.default_rng(0).normal(size=(64, 100)).astype(np.float32) * np.logspace(-6, 3, 64, dtype=np.float32)[:, None]
        values[5] = 0
        small, scale = weights.quantise(values, 0)
        rounded = small * scale
        self.assertEqual(rounded.dtype, np.float32)
        self.assertTrue((np.abs(rounded - values) <= scale * 0.501).all())
        self.assertLessEqual((scale / (np.abs(values).max(1, keepdims=True) / 127 + 1e-30))[np.arange(64) != 5].max(), 1.001)
        again, same = weights.quantise(rounded, 0)
        np.testing.assert_array_equal(again, small)
        np.testing.assert_array_equal(same[np.arange(64) != 5], scale[np.arange(64) != 5])
        np.testing.assert_array_equal(weights.quantise(rounded.T, 1)[0], small.T)

    def test_unpacking_an_export_gives_the_rounded_weights_bit_for_bit(self):
        for store, sizes in (('float16', (2e6, 40e6)), ('int8', (1e6, 20e6))):
            with self.subTest(store), tempfile.TemporaryDirectory() as folder:
                unpack.unpack(SHIPPED, f'{folder}/shipped')
                pipe = export.pipeline(f'{folder}/shipped', f'{folder}/shipped', store)
                export.write_onnx(pipe, f'{folder}/out', f'{folder}/shipped/tokenizer', store)
                unpack.unpack(f'{folder}/out', f'{folder}/again')
                for part, kind in (('unet', export.UNet2DConditionModel), ('text_encoder', export.CLIPTextModel), ('vae', export.AutoencoderTiny)):
                    got, want = kind.from_pretrained(f'{folder}/again/{part}').state_dict(), getattr(pipe, part).state_dict()
                    self.assertEqual(list(got), list(want))
                    for name, value in want.items():
                        self.assertTrue(torch.equal(got[name].float(), value), f'{store} {part} {name}')
                same = export.pipeline(f'{folder}/again', f'{folder}/again', store)
                self.assertTrue(all(torch.equal(a, b) for a, b in zip(same.unet.parameters(), pipe.unet.parameters(), strict=True)), 'exporting it again changes nothing')
                bytes_ = os.path.getsize(f'{folder}/out/unet/model.onnx')
                self.assertTrue(sizes[0] < bytes_ < sizes[1], f'{store}: {bytes_} bytes')
                graph = unpack.graph(f'{folder}/out/unet')
                self.assertFalse([t.name for t in graph.graph.initializer if t.name.startswith('onnx::MatMul')])


class Diffusion(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)
        self.alphas = new_scheduler().alphas_cumprod
        self.x0, self.noise = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)

    def test_velocity_agrees_with_diffusers(self):
        t = torch.tensor([999, 500, 3])
        noisy, v = teacher.velocity(self.alphas, t, self.x0, self.noise)
        scheduler = new_scheduler()
        torch.testing.assert_close(noisy, scheduler.add_noise(self.x0, self.noise, t))
        torch.testing.assert_close(v, scheduler.get_velocity(self.x0, self.noise, t))

    def test_a_step_with_the_found_velocity_gets_there(self):
        scheduler = new_scheduler()
        scheduler.set_timesteps(4)
        times = student.trailing_times(4)
        self.assertEqual(times, [999, 749, 499, 249])
        for i, t in enumerate(times):
            after = self.alphas[times[i + 1]] if i < 3 else scheduler.final_alpha_cumprod
            x, goal = torch.randn(1, 4, 2, 2), torch.randn(1, 4, 2, 2)
            v = student.velocity_to(x, goal, self.alphas[t], after)
            torch.testing.assert_close(scheduler.step(v, t, x).prev_sample, goal, rtol=1e-3, atol=1e-3)

    def test_times_are_spread_and_a_pictures_levels_lie_apart(self):
        t = teacher.spread_times(8, 2, torch.device('cpu')).view(8, 2)
        self.assertTrue((t >= 0).all() and (t < 1000).all())
        self.assertGreater((t[:, 0] - t[:, 1]).abs().min().item(), 200)

    def test_new_input_channels_change_nothing_at_first(self):
        plain = new_unet(64).eval()
        wide = widen_input(plain, 9).eval()
        x, text = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 192)
        with torch.no_grad():
            a = plain(x, 5, text).sample
            b = wide(torch.cat([x, torch.randn(1, 5, 8, 8)], 1), 5, text).sample
        torch.testing.assert_close(a, b)


class World(unittest.TestCase):
    def test_training_never_draws_what_the_judge_asks_for(self):
        rng = random.Random(1)
        drawn = [scenes.sample(rng) for _ in range(2000)]
        self.assertFalse(any(scenes.held_out(s) for s in drawn))
        self.assertTrue(all(scenes.held_out(p['scene']) for p in judge.make_prompts()))

    def test_no_training_caption_is_worded_like_a_judged_prompt(self):
        rng = random.Random(2)
        for p in judge.make_prompts()[:50]:
            head = p['prompt'].split(', ')[0]
            for _ in range(20):
                self.assertFalse(scenes.caption(p['scene'], rng).startswith(head + ', ') and scenes.caption(p['scene'], rng) == p['prompt'])
            captions = {teacher.training_caption(p['scene'], rng) for _ in range(200)}
            self.assertNotIn(p['prompt'], captions)

    def test_masks_hide_something_and_only_that(self):
        rng = random.Random(3)
        scene = scenes.sample(rng)
        picture, subject, _ = scenes.draw(scene, rng, 128, with_mask=True)
        for _ in range(50):
            mask = inpaint.random_mask(subject, rng)
            self.assertEqual(mask.shape, (128, 128))
            hidden = inpaint.cover_up(picture[None], mask[None])[0]
            np.testing.assert_array_equal(hidden[~mask], picture[~mask])
            self.assertTrue((hidden[mask] == 128).all())

    def test_ones_own_pictures_become_entries_with_their_captions(self):
        with tempfile.TemporaryDirectory() as folder:
            Image.new('RGB', (300, 200), 'red').save(f'{folder}/a.png')
            with open(f'{folder}/metadata.jsonl', 'w') as file:
                file.write(json.dumps({'file_name': 'a.png', 'text': 'my red wall'}) + '\n')
            unpack.load(SHIPPED)['vae'].save_pretrained(f'{folder}/vae')
            pool, cells = own_pictures(folder, f'{folder}/vae', 64, torch.device('cpu')), 64 // cell_of(f'{folder}/vae')
        latents, cover, attributes = pool.pick(3, random.Random(0))
        self.assertEqual(latents.shape, (3, 4, cells, cells))
        self.assertEqual(cover.sum().item(), 0)
        captions = {teacher.training_caption(attributes[0], random.Random(i)) for i in range(50)}
        self.assertEqual(captions, {'', 'my red wall'})
        middle = pool.decode(latents[:1])[0][32, 32].astype(int)
        self.assertGreater(middle[0], 180)
        self.assertLess(middle[1:].max(), 90)

    def test_masks_of_a_scene_say_where_its_extra_is(self):
        scene = {'subject': 'tent', 'colour': 'red', 'place': 'meadow', 'time': 'day', 'weather': 'cloudy', 'extra': 'none'}
        for extra, part in (('none', None), ('birds', slice(0, 64)), ('flowers', slice(96, 128))):
            _, subject, details = scenes.draw({**scene, 'extra': extra}, random.Random(4), 128, with_mask=True)
            self.assertEqual(details.any(), part is not None)
            self.assertFalse((details & subject).any())
            if part is not None:
                self.assertEqual(details[part].sum(), details.sum())

    def test_a_deeper_decoder_begins_as_the_same_function(self):
        vae = AutoencoderTiny(encoder_block_out_channels=(16,) * 4, decoder_block_out_channels=(16,) * 4, num_encoder_blocks=autoencoder.ENCODER_BLOCKS,
                              num_decoder_blocks=(2, 2, 2, 1), latent_channels=4)
        x = torch.rand(1, 3, 32, 32) * 2 - 1
        with torch.no_grad():
            torch.testing.assert_close(autoencoder.deepen(vae)(x).sample, vae(x).sample)

    def test_the_bank_keeps_the_newest_ways_and_hands_out_neighbouring_stops(self):
        bank = student.Bank(capacity=3, stops=5, cells=2)
        for way in range(5):
            bank.put(np.full((1, 5, 4, 2, 2), 10 * way) + np.arange(5).reshape(1, 5, 1, 1, 1), [f'way {way}'])
        self.assertEqual(sorted(bank.captions), ['way 2', 'way 3', 'way 4'])
        here, there, stop, captions = bank.pick(50, random.Random(0))
        self.assertEqual({int(k) for k in stop}, {0, 1, 2, 3})
        for a, b, k, caption in zip(here, there, stop, captions):
            self.assertEqual(caption, f'way {int(a.mean()) // 10}')
            self.assertEqual((int(a.mean()) % 10, int(b.mean()) % 10), (int(k), int(k) + 1))


if __name__ == '__main__':
    unittest.main()
