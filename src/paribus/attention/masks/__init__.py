"""Who may see whom: True = may see, with FlexAttention's signature mask_mod(b, h, q_idx, kv_idx)."""
