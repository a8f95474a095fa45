package halting

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Policies by their names in config.json.
const (
	PolicyNone       = "none"       // a dense model: every token runs in every block
	PolicyToken      = "token"      // A-ViT: every token halts by its own cumulative score
	PolicyACT        = "act"        // layer-wise ACT: the class token's cumulative score halts the image
	PolicySACT       = "sact"       // spatial ACT: as token, but a halted token keeps its value and stays a key
	PolicyPonder     = "ponder"     // PonderNet: the class token's gate is the chance to stop
	PolicyConfidence = "confidence" // the image stops when its prediction is sure enough
	PolicySimilarity = "similarity" // a token halts when it has stopped changing
	PolicyTopK       = "topk"       // after some blocks only the share with most class attention goes on (EViT)
	PolicyToMe       = "tome"       // similar tokens are merged, a fixed number after each block (ToMe)
)

// policy is what a policy's object in config.json may hold and which values it starts from.
type policy struct {
	name     string
	keys     []string
	defaults Config
}

// Where the paper of a scheme gives constants, they are the defaults: A-ViT's released runs, EViT's keep rate. PonderNet's gate starts at a
// chance of 0.12 for a gate of 0, near the priors that it is used with: from A-ViT's centre its chances and their gradients would be nothing.
var policies = []policy{
	{PolicyNone, nil, Config{}},
	{PolicyToken, gateKeys, Config{GateScale: 10, GateCenter: 30, Epsilon: 0.01}},
	{PolicyACT, gateKeys, Config{GateScale: 10, GateCenter: 30, Epsilon: 0.01}},
	{PolicySACT, gateKeys, Config{GateScale: 10, GateCenter: 30, Epsilon: 0.01}},
	{PolicyPonder, gateKeys, Config{GateScale: 1, GateCenter: 2, Epsilon: 0.05}},
	{PolicyConfidence, []string{"threshold"}, Config{Threshold: 0.9}},
	{PolicySimilarity, []string{"threshold"}, Config{Threshold: 0.98}},
	{PolicyTopK, []string{"keep", "layers", "fuse"}, Config{Keep: 0.7}},
	{PolicyToMe, []string{"merge"}, Config{Merge: 8}},
}

var gateKeys = []string{"gate_scale", "gate_center", "epsilon"}

// Policies lists the names of all policies.
func Policies() []string {
	names := make([]string, len(policies))
	for i, p := range policies {
		names[i] = p.name
	}
	return names
}

// Config is the "halting" object of a model's config.json. A policy knows some of the constants; the others are not read and not written.
type Config struct {
	Policy     string
	GateScale  float64 // γ of token, act, sact and ponder
	GateCenter float64 // −β of the same
	Epsilon    float64 // ε of the same: halt once the cumulative score (ponder: the chance to have stopped) reaches 1 − ε
	Threshold  float64 // τ: of confidence the largest probability, of similarity the cosine from which on to halt
	Keep       float64 // topk: share of the patch tokens that goes on
	Layers     []int   // topk: blocks (1-based, increasing) after which tokens go; nil: ⌊L/4⌋·i + 1 for i = 1, 2, 3
	Fuse       bool    // topk: the tokens that do not go on are merged into one that does
	Merge      float64 // tome: tokens merged after a block; a fraction adds up over the blocks
}

// configJSON is Config as config.json has it; a key that is not there is nil.
type configJSON struct {
	Policy     *string  `json:"policy,omitempty"`
	GateScale  *float64 `json:"gate_scale,omitempty"`
	GateCenter *float64 `json:"gate_center,omitempty"`
	Epsilon    *float64 `json:"epsilon,omitempty"`
	Threshold  *float64 `json:"threshold,omitempty"`
	Keep       *float64 `json:"keep,omitempty"`
	Layers     []int    `json:"layers,omitempty"`
	Fuse       *bool    `json:"fuse,omitempty"`
	Merge      *float64 `json:"merge,omitempty"`
}

// Dense returns the configuration of a model without halting.
func Dense() Config { return Config{Policy: PolicyNone} }

// Default returns the configuration of a policy whose constants nobody has chosen.
func Default(name string) (Config, error) {
	for _, p := range policies {
		if p.name == name {
			c := p.defaults
			c.Policy = name
			return c, nil
		}
	}
	return Config{}, fmt.Errorf("halting: policy %.60q is not known (known: %s)", name, strings.Join(Policies(), ", "))
}

// Adaptive reports whether tokens can halt before the last block.
func (c Config) Adaptive() bool { return c.Policy != PolicyNone && c.Policy != "" }

// knows reports whether the policy has a constant of this name.
func (c Config) knows(key string) bool {
	for _, p := range policies {
		if p.name == c.Policy {
			return slices.Contains(p.keys, key)
		}
	}
	return false
}

// maxLayer bounds the blocks that Layers may name.
const maxLayer = 1 << 12

// Validate reports the first constant that makes no sense.
func (c Config) Validate() error {
	if !c.Adaptive() {
		return nil
	}
	if _, err := Default(c.Policy); err != nil {
		return err
	}
	maxEpsilon, minThreshold := 0.5, 0.0
	if c.Policy == PolicyPonder {
		maxEpsilon = 0.999
	}
	if c.Policy == PolicySimilarity {
		minThreshold = -1
	}
	for _, v := range []struct {
		name     string
		value    float64
		min, max float64
	}{
		{"gate_scale", c.GateScale, -maxGate, maxGate},
		{"gate_center", c.GateCenter, -maxGate, maxGate},
		{"epsilon", c.Epsilon, 0, maxEpsilon},
		{"threshold", c.Threshold, minThreshold, 1},
		{"keep", c.Keep, 0, 1},
		{"merge", c.Merge, 0, maxMerge},
	} {
		if c.knows(v.name) && (math.IsNaN(v.value) || v.value < v.min || v.value > v.max) {
			return fmt.Errorf("halting: %s is %v, want %v to %v", v.name, v.value, v.min, v.max)
		}
	}
	if c.knows("layers") && c.Layers != nil {
		if len(c.Layers) == 0 {
			return errors.New("halting: layers is empty (leave it out for the usual blocks)")
		}
		for i, l := range c.Layers {
			if l < 1 || l > maxLayer || i > 0 && l <= c.Layers[i-1] {
				return fmt.Errorf("halting: layers are %v, want increasing numbers of blocks from 1 on", c.Layers)
			}
		}
	}
	return nil
}

const (
	maxGate  = 1e4
	maxMerge = 1 << 16
)

// ValidateFor is Validate for a model of so many blocks: those that Layers names must be there.
func (c Config) ValidateFor(layers int) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if n := len(c.Layers); c.knows("layers") && n > 0 && c.Layers[n-1] > layers {
		return fmt.Errorf("halting: layers are %v, but the model has %d blocks", c.Layers, layers)
	}
	return nil
}

// UnmarshalJSON reads the "halting" object; a key that its policy does not know is an error, since a model that ignored it would give other results.
// Constants that are left out take the policy's defaults (see Default), a policy that is left out is A-ViT's.
func (c *Config) UnmarshalJSON(b []byte) error {
	var v configJSON
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return fmt.Errorf("halting: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("halting: data after the object")
	}
	name := PolicyToken
	if v.Policy != nil {
		name = *v.Policy
	}
	r, err := Default(name)
	if err != nil {
		return err
	}
	for _, k := range []struct {
		key  string
		to   *float64
		from *float64
	}{
		{"gate_scale", &r.GateScale, v.GateScale}, {"gate_center", &r.GateCenter, v.GateCenter}, {"epsilon", &r.Epsilon, v.Epsilon},
		{"threshold", &r.Threshold, v.Threshold}, {"keep", &r.Keep, v.Keep}, {"merge", &r.Merge, v.Merge},
	} {
		switch {
		case k.from == nil:
		case r.knows(k.key):
			*k.to = *k.from
		case name != PolicyNone || !slices.Contains(gateKeys, k.key): // older files give a dense model's gate, which nothing reads
			return unknownKey(k.key, name)
		}
	}
	if v.Layers != nil {
		if !r.knows("layers") {
			return unknownKey("layers", name)
		}
		r.Layers = v.Layers
	}
	if v.Fuse != nil {
		if !r.knows("fuse") {
			return unknownKey("fuse", name)
		}
		r.Fuse = *v.Fuse
	}
	if err := r.Validate(); err != nil {
		return err
	}
	*c = r
	return nil
}

func unknownKey(key, policy string) error {
	return fmt.Errorf("halting: key %q means nothing to policy %q", key, policy)
}

// MarshalJSON writes what the policy knows.
func (c Config) MarshalJSON() ([]byte, error) {
	v := configJSON{Policy: &c.Policy}
	if !c.Adaptive() {
		none := PolicyNone
		v.Policy = &none
	}
	for _, k := range []struct {
		key  string
		to   **float64
		from *float64
	}{
		{"gate_scale", &v.GateScale, &c.GateScale}, {"gate_center", &v.GateCenter, &c.GateCenter}, {"epsilon", &v.Epsilon, &c.Epsilon},
		{"threshold", &v.Threshold, &c.Threshold}, {"keep", &v.Keep, &c.Keep}, {"merge", &v.Merge, &c.Merge},
	} {
		if c.knows(k.key) {
			*k.to = k.from
		}
	}
	if c.knows("layers") {
		v.Layers = c.Layers
	}
	if c.knows("fuse") && c.Fuse {
		v.Fuse = &c.Fuse
	}
	return json.Marshal(v)
}

// String is the policy with its constants, for people: "token, gate scale 10, gate center 30, epsilon 0.01".
func (c Config) String() string {
	if !c.Adaptive() {
		return PolicyNone
	}
	var b strings.Builder
	b.WriteString(c.Policy)
	for _, v := range []struct {
		key, name string
		value     float64
	}{
		{"gate_scale", "gate scale", c.GateScale}, {"gate_center", "gate center", c.GateCenter}, {"epsilon", "epsilon", c.Epsilon},
		{"threshold", "threshold", c.Threshold}, {"keep", "keep", c.Keep}, {"merge", "merge", c.Merge},
	} {
		if c.knows(v.key) {
			fmt.Fprintf(&b, ", %s %g", v.name, v.value)
		}
	}
	if c.knows("layers") && c.Layers != nil {
		fmt.Fprintf(&b, ", after blocks %v", c.Layers)
	}
	if c.knows("fuse") && c.Fuse {
		b.WriteString(", fused")
	}
	return b.String()
}

// dialReach is how far from its place a gate's centre can be dialled: scores are 0 or 1 in float32 long before.
const dialReach = 100

// Dial returns the constant that trades depth for accuracy in a trained model, and the values between which it may be set: depth grows
// as it goes from lo to hi (on the whole: a token that stays changes the others). lo is the larger of the two where a large constant means few tokens. ok is false for a dense model.
//
//	token, act, sact         gate_center
//	ponder                   epsilon, from 0.999 down to 0
//	confidence, similarity   threshold
//	topk                     keep
//	tome                     merge, from 256 or its present value, if that is more, down to 0
func (c Config) Dial() (value, lo, hi float64, ok bool) {
	switch c.Policy {
	case PolicyToken, PolicyACT, PolicySACT:
		return c.GateCenter, max(c.GateCenter-dialReach, -maxGate), min(c.GateCenter+dialReach, maxGate), true
	case PolicyPonder:
		return c.Epsilon, 0.999, 0, true
	case PolicyConfidence:
		return c.Threshold, 0, 1, true
	case PolicySimilarity:
		return c.Threshold, -1, 1, true
	case PolicyTopK:
		return c.Keep, 0, 1, true
	case PolicyToMe:
		return c.Merge, max(c.Merge, 256), 0, true
	}
	return 0, 0, 0, false
}

// WithDial returns c with its Dial set to v; a dense configuration stays what it is.
func (c Config) WithDial(v float64) Config {
	switch c.Policy {
	case PolicyToken, PolicyACT, PolicySACT:
		c.GateCenter = v
	case PolicyPonder:
		c.Epsilon = v
	case PolicyConfidence, PolicySimilarity:
		c.Threshold = v
	case PolicyTopK:
		c.Keep = v
	case PolicyToMe:
		c.Merge = v
	}
	return c
}

// New returns the scheme that a configuration names, for inference.
func New(c Config) (Scheme, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	token := Token{Scale: float32(c.GateScale), Center: float32(c.GateCenter), Threshold: float32(1 - c.Epsilon)}
	switch c.Policy {
	case PolicyToken:
		return token, nil
	case PolicyACT:
		return ACT(token), nil
	case PolicySACT:
		return SACT{token}, nil
	case PolicyPonder:
		return Ponder{Scale: token.Scale, Center: token.Center, Threshold: token.Threshold}, nil
	case PolicyConfidence:
		return Confidence{Threshold: float32(c.Threshold)}, nil
	case PolicySimilarity:
		return Similarity{Threshold: float32(c.Threshold)}, nil
	case PolicyTopK:
		return TopK{Keep: c.Keep, Layers: slices.Clone(c.Layers), Fuse: c.Fuse}, nil
	case PolicyToMe:
		return ToMe{Merge: c.Merge}, nil
	}
	return None{}, nil
}

// NewTraining returns the scheme that a model is trained with: that of New, but the schemes that learn a prediction in every block (Supervised)
// do not stop before the last. A scheme that has nothing to learn and cannot be learnt through is an error.
func NewTraining(c Config) (Scheme, error) {
	s, err := New(c)
	if err != nil {
		return nil, err
	}
	switch s := s.(type) {
	case Ponder:
		s.EveryBlock = true
		return s, nil
	case Confidence:
		s.EveryBlock = true
		return s, nil
	case ToMe:
		return nil, fmt.Errorf("halting: policy %q cannot be trained; it works on a dense model as it is (set the policy on that)", c.Policy)
	}
	return s, nil
}
