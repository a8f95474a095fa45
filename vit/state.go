package vit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/adavit/adavit/weights"
)

// state is a checkpoint's tensors under timm's names, whatever the file calls them.
type state struct {
	naming
	tensors map[string]weights.Tensor // by timm's name; the tensor's Name is the file's
	order   []string                  // timm's names in the file's order
	extra   []string                  // the file's names of tensors that have no place in a model
	heads   int                       // attention heads, where the shapes say; else 0
	deit3   bool                      // LayerScale is called as its authors do
	scales  map[string][]float32      // by timm's name, what a tensor's rows are to be multiplied by
	msn     bool                      // transformers 5 has saved ViTMSN
	notes   []string
}

// ErrPrefix says that a file holds several networks.
var ErrPrefix = errors.New("the file holds several ViTs, and does not say which one is meant")

func (s *state) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// readState sorts a file's tensors. Of those that no ViT has, the ones without a part in classifying are left out, and
// a note names them; extra has the rest. If newHead, what could be another network's head is left out, too. prefix is
// findNaming's.
func readState(f *weights.File, prefix string, newHead bool) (*state, error) {
	s := &state{tensors: make(map[string]weights.Tensor)}
	f, err := s.unwrap(f)
	if err != nil {
		return nil, err
	}
	if err := adapters(f); err != nil {
		return nil, err
	}
	var others []string
	if s.naming, others, err = findNaming(f, prefix); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"", "vit.", "deit.", dinoKind.prefix, dinoRegistersKind.prefix}, s.prefix) {
		s.note("the tensors whose names begin with %q are taken", s.prefix)
	}
	roots := s.roots(others)
	var left []weights.Tensor
	var dropped tally
	for _, t := range f.Tensors {
		timm, known := s.locate(t.Name)
		root := slices.IndexFunc(roots, func(root string) bool { return strings.HasPrefix(t.Name, root) })
		switch {
		case root >= 0:
			dropped.add(roots[root])
		case known:
			if err := s.add(timm, t); err != nil {
				return nil, err
			}
		default:
			left = append(left, t)
		}
	}
	left = s.findHead(left)
	if head, ok := s.get("head.weight"); ok && newHead && !s.fits(head) {
		delete(s.tensors, "head.weight")
		delete(s.tensors, "head.bias")
		dropped.add(s.group(head.Name))
	}
	for _, t := range left {
		if outside := !strings.HasPrefix(t.Name, s.prefix); s.idle(t.Name) || outside && prefix != "" ||
			newHead && (outside || s.isHead(t.Name)) {
			dropped.add(s.group(t.Name))
			continue
		}
		s.extra = append(s.extra, t.Name)
	}
	if err := s.refuse(); err != nil {
		return nil, err
	}
	if len(dropped) > 0 {
		s.note("left out, as it has no part in classifying: %s", dropped)
	}
	return s, nil
}

// locate translates a name to timm's. transformers 5 saves ViTMSN's blocks without the prefix of the rest.
func (s *state) locate(name string) (timm string, ok bool) {
	rest, under := strings.CutPrefix(name, s.prefix)
	if under {
		return s.timm(rest)
	}
	if s.family == transformers {
		around := s.levels()[1]
		if timm, ok = s.timm(strings.TrimPrefix(name, around)); ok && strings.HasPrefix(name, around+"encoder.layer.") {
			s.msn = true
			return timm, true
		}
	}
	return "", false
}

// add takes a tensor.
func (s *state) add(timm string, t weights.Tensor) (err error) {
	if old, ok := s.tensors[timm]; ok {
		return fmt.Errorf("the tensors %.120q and %.120q are the same one of a ViT", old.Name, t.Name)
	}
	if s.family == jax {
		if strings.HasSuffix(timm, "attn.query.weight") && len(t.Shape) == 3 {
			s.heads = t.Shape[1]
		}
		if t, err = fromJAX(timm, t); err != nil {
			return err
		}
	}
	s.deit3 = s.deit3 || strings.HasSuffix(t.Name, ".gamma_1")
	s.tensors[timm] = t
	s.order = append(s.order, timm)
	return nil
}

// get finds a tensor by timm's name.
func (s *state) get(timm string) (weights.Tensor, bool) {
	t, ok := s.tensors[timm]
	return t, ok
}

// has reports whether a tensor is there.
func (s *state) has(timm string) bool {
	_, ok := s.tensors[timm]
	return ok
}

// wrappers are what PyTorch puts into the names of modules that it compiles, shards or recomputes.
var wrappers = [...]string{"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}

// unwrap takes those parts out of all names.
func (s *state) unwrap(f *weights.File) (*weights.File, error) {
	g := &weights.File{Metadata: f.Metadata}
	seen, gone := make(map[string]bool), make(map[string]bool)
	for _, t := range f.Tensors {
		parts := strings.Split(t.Name, ".")
		t.Name = strings.Join(slices.DeleteFunc(parts, func(part string) bool {
			wraps := slices.Contains(wrappers[:], part)
			gone[part] = gone[part] || wraps
			return wraps
		}), ".")
		if seen[t.Name] {
			return nil, fmt.Errorf("tensor %.120q is there twice, once inside a wrapper", t.Name)
		}
		seen[t.Name] = true
		g.Tensors = append(g.Tensors, t)
	}
	for _, wrapper := range wrappers {
		if gone[wrapper] {
			s.note("%q is taken out of the names", wrapper+".")
		}
	}
	return g, nil
}

// adapterParts are the beginnings of parts of names that PEFT gives.
var adapterParts = [...]string{"lora_", "base_layer", "modules_to_save", "hada_w", "lokr_w", "ia3_", "oft_", "boft_",
	"vera_", "prompt_embeddings"}

// adapters refuses what PEFT saved: differences to a model that is elsewhere, or a model with them beside it.
func adapters(f *weights.File) error {
	for _, t := range f.Tensors {
		is := strings.HasPrefix(t.Name, "base_model.model.")
		for part := range strings.SplitSeq(t.Name, ".") {
			begins := func(with string) bool { return strings.HasPrefix(part, with) }
			is = is || slices.ContainsFunc(adapterParts[:], begins)
		}
		if is {
			return fmt.Errorf("%w (tensor %.120q)", errAdapter, t.Name)
		}
	}
	return nil
}

var errAdapter = errors.New("an adapter of PEFT (LoRA or its kin), not a whole model: merge it into the model that " +
	"it was trained on (in Python, model.merge_and_unload().save_pretrained(DIR)) and take that")

// roots are the prefixes of what belongs to the other networks of a file: the first parts by which they differ.
func (s *state) roots(others []string) (list []string) {
	own := strings.SplitAfter(s.prefix, s.sep)
	for _, other := range others {
		root := ""
		for i, part := range strings.SplitAfter(other, s.sep) {
			if root += part; part != "" && (i >= len(own) || part != own[i]) {
				list = append(list, root)
				break
			}
		}
	}
	return list
}

// headNames are what modules that classify are called.
var headNames = [...]string{"head", "classifier", "heads.head", "heads", "head.fc", "fc", "linear", "cls_head",
	"cls_classifier"}

// fits reports whether a tensor could be a classifier's weight: [classes, E], or [classes, 2E] of one that looks at the
// class token and the patches' mean.
func (s *state) fits(t weights.Tensor) bool {
	patch := s.tensors["patch_embed.proj.weight"]
	return len(t.Shape) == 2 && len(patch.Shape) == 4 && (t.Shape[1] == patch.Shape[0] || t.Shape[1] == 2*patch.Shape[0])
}

// findHead looks for the classifier under other names than the family's, beside the ViT or around it, and returns the
// tensors that are left. If there is but one linear map of the right width among them, that is it.
func (s *state) findHead(left []weights.Tensor) []weights.Tensor {
	take := func(name, as string) bool {
		at := slices.IndexFunc(left, func(t weights.Tensor) bool { return t.Name == name+".weight" && s.fits(t) })
		if at < 0 || s.has(as+".weight") {
			return false
		}
		for _, kind := range [...]string{".weight", ".bias"} {
			left = slices.DeleteFunc(slices.Clone(left), func(t weights.Tensor) bool {
				if t.Name == name+kind {
					s.tensors[as+kind], s.order = t, append(s.order, as+kind)
				}
				return t.Name == name+kind
			})
		}
		return true
	}
	for _, level := range s.levels() {
		for _, name := range headNames {
			if take(level+name, "head") && level+name != "classifier" && level+name != "cls_classifier" {
				s.note("the head is %q", level+name)
			}
		}
		take(level+"head_dist", "head_dist")
		take(level+"distillation_classifier", "head_dist")
	}
	var maps []string
	for _, t := range left {
		name, isWeight := strings.CutSuffix(t.Name, ".weight")
		switch _, isBias := strings.CutSuffix(t.Name, ".bias"); {
		case s.idle(t.Name) || strings.Contains(name, "pre_logits"):
		case isWeight && s.fits(t):
			maps = append(maps, name)
		case !isBias:
			return left
		}
	}
	if len(maps) == 1 && !s.has("head.weight") && take(maps[0], "head") {
		s.note("the head is %q", maps[0])
	}
	return left
}
