#pragma once

#include "gear/train/run_config.h"

namespace gear::train::reference {

/// Flags of the Python reference that are fields here too, under the same meaning (spec 07).
/// `visit(flag, field)` reads or writes one.
template <class Visitor>
void same_flags(RunConfig& config, Visitor& visit) {
  visit("seed", config.seed);
  visit("max_train_steps", config.steps);

  auto& data = config.data;
  visit("data_dir", data.path);
  visit("vq_eval_data_dir", data.val_path);
  visit("image_size", data.image_size);
  visit("num_classes", data.num_classes);
  visit("batch_size", data.batch_size);
  visit("num_workers", data.workers);
  visit("random_hflip", data.random_flip);

  auto& quantizer = config.tokenizer.quantizer;
  visit("codebook_size", quantizer.codebook_size);
  visit("codebook_embed_dim", quantizer.codebook_dim);
  visit("entropy_loss_ratio", quantizer.entropy_ratio);
  visit("entropy_num_groups", quantizer.groups);
  visit("commit_loss_beta", quantizer.commit_weight);

  auto& ar = config.ar;
  visit("dropout_p", ar.residual_dropout);
  visit("token_dropout_p", ar.token_dropout);
  visit("drop_path_rate", ar.drop_path);
  visit("use_checkpoint", ar.activation_checkpointing);

  auto& loss = config.loss;
  visit("temperature", loss.temperature);
  visit("vae_align_proj_coeff", loss.align_tokenizer);
  visit("proj_coeff", loss.align_ar);
  visit("use_repa", loss.repa);
  visit("encoder_depth", loss.tap);
  visit("repa_spnorm_alpha", loss.spatial_norm_alpha);
  visit("repa_target_spnorm", loss.spatial_norm);
  visit("projector_dim", loss.projector_dim);
  visit("enc_type", config.teacher.model);
  visit("repa_encoder_layer", config.teacher.layer);

  auto& optimizer = config.optimizer;
  visit("vq_lr", optimizer.tokenizer_lr);
  visit("disc_lr", optimizer.discriminator_lr);
  visit("ar_lr", optimizer.ar_lr);
  visit("adam_beta1", optimizer.beta1);
  visit("adam_beta2", optimizer.beta2);
  visit("adam_epsilon", optimizer.eps);
  visit("adam_weight_decay", optimizer.weight_decay);
  visit("max_grad_norm", optimizer.max_grad_norm);
  visit("warmup_steps", optimizer.warmup_steps);
  visit("lr_scheduler", optimizer.schedule);
  visit("lr_min", optimizer.lr_min);
  visit("vq_ema_decay", optimizer.ema_decay);
  visit("gradient_accumulation_steps", optimizer.accumulation);

  auto& output = config.output;
  visit("checkpointing_steps", output.checkpoint_every);
  visit("sampling_steps", output.preview_every);
  visit("sampling_num", output.preview_images);
  visit("sampling_cfg_scale", output.sample_cfg);
  visit("sampling_cfg_interval", output.sample_cfg_interval);
  visit("sampling_temperature", output.sample_temperature);
  visit("sampling_top_k", output.sample_top_k);
  visit("sampling_top_p", output.sample_top_p);
}

}  // namespace gear::train::reference
