package train

// Credit is how the class loss reaches the gates of patches, METHOD.md (44) and (45). Let s[k,l] = 1 − c[k,l−1] be what
// token k has left to live in block l, and give every key the factor s in the softmax, attention logits z[i,k] + log
// s[k,l], with a straight-through s: 1 in the forward pass for every token that is there, so that nothing changes. Then
//
//	credit[k,l]    = ∂loss/∂s[k,l] = Σ_heads Σ_i ∂loss/∂z[i,k]
//	∂loss/∂h[k,j] −= λ · Σ_{j < l ≤ N[k]} credit[k,l]
//
// A token whose key and value lower the loss so gets a lower score, and stays. (DynamicViT, Rao et al. 2021, lets the
// loss reach a mask in this way, with all tokens computed; here nothing is computed for one that is gone.)

// takeCredit adds what attention's backward pass found the keys of block l to be worth, w.credit [T], to what those
// tokens were worth in the blocks above, s.credit. Tokens that are frozen, which are keys all the same, get nothing.
func (n *Network) takeCredit(s *shard, l int, w *scratch) {
	if n.scheme.credit == 0 {
		return
	}
	a, tokens := &s.blocks[l], n.config.Tokens()
	for i := range s.images {
		_, _, in, end := a.image(i)
		for r := in; r < end; r++ {
			if k := int(a.token[r]); int(s.state[i].Depth[k]) > l {
				s.credit[i*tokens+k] += w.credit[r]
			}
		}
	}
}

// creditGate returns credit's share of ∂loss/∂t[0] for token k of image i after block l, in row r of what ran there.
func (n *Network) creditGate(s *shard, l, i, r int, k int32) float32 {
	if n.scheme.credit == 0 || !n.reads.Patch(k) && !(n.scheme.regs && n.reads.Register(k)) {
		return 0
	}
	scale, _ := n.scheme.learner.Gate()
	h := s.blocks[l].score[r]
	d := -n.scheme.credit * s.credit[i*n.config.Tokens()+int(k)] * scale * h * (1 - h)
	s.gateGradient.add(d, scale, s.gate[(i*n.config.Layers+l)*n.config.Tokens()+int(k)])
	return d
}
