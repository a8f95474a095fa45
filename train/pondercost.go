package train

// ponderCost is ACT's cost of depth (Graves 2016), over all tokens of a batch, METHOD.md (24) and (33):
//
//	ponder = mean of (N[k] + r[k])      ∂ponder/∂r[k] = 1/tokens
//
// N is a constant: the gradient flows through the remainder alone. slope is factor times it.
func ponderCost(shards []*shard, tokens, factor float64) (cost float64, slope float32) {
	for _, s := range shards {
		for i := range s.images {
			sum := 0.0
			for k, d := range s.state[i].Depth {
				sum += float64(d) + float64(s.state[i].Remainder[k])
			}
			cost += sum / tokens
		}
	}
	return cost, float32(factor / tokens)
}
