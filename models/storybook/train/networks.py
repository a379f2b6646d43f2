"""The networks of storybook: how they are made from nothing, read, and made fast to train."""
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TEXT_WIDTH = 192


class SharedTextAttention:
    """Plain attention in which the text may have fewer rows than the pictures: each row serves neighbouring pictures.

    One caption serves two noise levels of its picture, so the text encoder and the keys and values of the
    cross-attention, about a third of the work, are computed once for both.
    """

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, **_):
        residual = hidden_states if attn.residual_connection else None
        text = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.to_q(hidden_states), attn.to_k(text), attn.to_v(text)
        batch, tokens, width = q.shape
        groups, heads = text.shape[0], attn.heads
        dim = width // heads
        q = q.reshape(groups, batch // groups * tokens, heads, dim).transpose(1, 2)
        k = k.reshape(groups, -1, heads, dim).permute(0, 2, 3, 1)
        v = v.reshape(groups, -1, heads, dim).transpose(1, 2)
        out = torch.matmul(torch.matmul(q * dim**-0.5, k).softmax(-1).to(v.dtype), v)
        out = attn.to_out[0](out.transpose(1, 2).reshape(batch, tokens, width))
        return (out if residual is None else out + residual) / attn.rescale_output_factor


def new_scheduler() -> DDIMScheduler:
    """v-prediction with zero terminal SNR and trailing spacing (Lin et al. 2023, arXiv:2305.08891)."""
    return DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule='scaled_linear', clip_sample=False, set_alpha_to_one=False,
                         steps_offset=1, prediction_type='v_prediction', rescale_betas_zero_snr=True, timestep_spacing='trailing')


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=TEXT_WIDTH, intermediate_size=4 * TEXT_WIDTH, projection_dim=TEXT_WIDTH, num_hidden_layers=3,
        num_attention_heads=6, max_position_embeddings=77, hidden_act='quick_gelu', bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, attn_implementation='eager'))


def new_unet(cells: int, in_channels: int = 4) -> UNet2DConditionModel:
    """16.3 million parameters; `cells` of the native picture, each way; other sizes run too."""
    return UNet2DConditionModel(
        sample_size=cells, in_channels=in_channels, out_channels=4, block_out_channels=(48, 128, 256), layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH, attention_head_dim=4, norm_num_groups=16, use_linear_projection=True,
        down_block_types=('DownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D'),
        up_block_types=('CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'UpBlock2D'))


def load_text_encoder(folder: str) -> CLIPTextModel:
    return CLIPTextModel.from_pretrained(folder, dtype=torch.float32, attn_implementation='eager')


def load_unet(folder: str, cells: int) -> UNet2DConditionModel:
    unet = UNet2DConditionModel.from_pretrained(folder, torch_dtype=torch.float32, low_cpu_mem_usage=False)
    unet.register_to_config(sample_size=cells)
    return unet


def fast(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """channels_last and plain batched-matmul attention: what a profile on CPUs asked for."""
    unet.set_attn_processor(SharedTextAttention())
    return unet.to(memory_format=torch.channels_last)


def widen_input(unet: UNet2DConditionModel, channels: int) -> UNet2DConditionModel:
    """The same network with more input channels; the new ones begin at zero, so it still draws what it drew before."""
    wide = UNet2DConditionModel.from_config({**unet.config, 'in_channels': channels})
    state = unet.state_dict()
    conv = torch.zeros_like(wide.conv_in.weight)
    conv[:, : unet.config.in_channels] = state['conv_in.weight']
    wide.load_state_dict({**state, 'conv_in.weight': conv})
    return wide


def ids(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """int64 [n, 77]"""
    return tokenizer(texts, padding='max_length', max_length=77, truncation=True, return_tensors='pt').input_ids
