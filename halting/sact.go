package halting

var _ = Register(Descriptor{
	Name: "sact", Order: 4, Summary: "spatial ACT: as token, but a halted token keeps its value and stays a key",
	Note: "A token that has halted is still seen by the others: it keeps its value and costs keys and values " +
		"in every block.",
	Keys: patchKeys, Tune: "gate_center", TuneRange: aroundCenter, Exit: "exit",
	New:         func(c Config) Scheme { return exiting(c, SACT{tokenOf(c)}, false) },
	NewTraining: func(c Config) Scheme { return exiting(c, SACT{tokenOf(c)}, true) },
	Gate:        cumulativeGate,
})

// SACT is spatially adaptive computation time (Figurnov et al. 2017) on a vision transformer, METHOD.md (11): tokens
// halt as A-ViT's do, but a halted token keeps its value, from which every later block makes a key and a value. It is
// computed no more itself: no query, no projection, no MLP. (In the original the output of every position is its mean
// field. Here the heads look at the readouts alone, so only theirs are made.)
//
// Its gates' gradient is Token's: what a frozen value sends back reaches the token's row, not its score.
type SACT struct{ Token }

// Needs says that halted tokens stay keys; so their values are wanted whole.
func (SACT) Needs(layer, layers int) Needs {
	return Needs{Halts: layer < layers, Output: true, Frozen: true}
}
