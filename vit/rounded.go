package vit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/weights"
)

// Weights may be stored as one of infer's precisions rounds them: those of the blocks' linear maps in 8 bits or in
// bfloat16, all else in float32. Beside NAME.weight [out, in] there are then
//
//	NAME.weight_scale [out, 1] F32   in 8 bits: row j stands for weight_scale[j]·weight[j]
//	NAME.weight_first [in] F32       of attn.proj and mlp.fc2: the first row, which makes the number that tokens halt by
//	                                 and is therefore rounded in no precision
//
// The former is the name and the shape of compressed-tensors, a format of transformers', whose words config.json uses.
const (
	stepsEnd = "_scale"
	firstEnd = "_first"
)

// rounds reports whether a tensor of the file is a weight of a block's linear map.
func (s *state) rounds(p piece) bool { return rounds(p.Tensor) }

func rounds(t Tensor) bool { return t.Decay && strings.HasPrefix(t.Name, "blocks.") }

// companions reads what stands beside a rounded weight.
func (s *state) companions(to *storedPiece, p piece) (err error) {
	if !s.rounds(p) {
		return nil
	}
	out, in := p.Shape[0], p.Len()/p.Shape[0]
	read := func(end string, n int) (x []float32) {
		t, ok := s.get(p.stored + end)
		if err != nil || !ok {
			return nil
		}
		if x, err = t.Float32s(); err == nil && len(x) != n {
			err = fmt.Errorf("tensor %.120q has shape %v, but the configuration wants %d numbers", t.Name, t.Shape, n)
		}
		if err == nil {
			err = finite(t.Name, x, 0)
		}
		return x
	}
	to.first = read(firstEnd, in)
	steps := read(stepsEnd, out)
	switch {
	case err != nil:
		return err
	case to.tensor.DType == weights.I8 && steps == nil:
		return fmt.Errorf("tensor %.120q is stored in 8 bits, but %.120q, which says what they stand for, is missing",
			to.tensor.Name, to.tensor.Name+stepsEnd)
	case to.tensor.DType != weights.I8 && steps != nil:
		return fmt.Errorf("tensor %.120q has dtype %s, but %.120q is for one of I8", to.tensor.Name, to.tensor.DType,
			to.tensor.Name+stepsEnd)
	}
	to.steps = steps
	return nil
}

// noteRounded says that weights are rounded, where the file shows that they are on purpose.
func (s *state) noteRounded(from *stored) {
	switch from.rounded() {
	case weights.I8:
		s.note("the weights of the blocks are stored in 8 bits: all but int8 computes with the float32s that these stand for")
	case weights.BF16:
		s.note("the weights of the blocks are stored rounded to bfloat16: all but bf16 computes with less than it could")
	}
}

// rounded is Params.Rounded.
func (s *stored) rounded() weights.DType {
	for _, p := range s.pieces {
		switch {
		case p.steps != nil:
			return weights.I8
		case p.first != nil:
			return weights.BF16
		}
	}
	return ""
}

// Rounded returns what the weights of the blocks were rounded to when they were stored for int8 or bf16: I8 or BF16,
// "" if they were not, or are in memory as float32s.
func (p *Params) Rounded() weights.DType {
	if p.stored == nil {
		return ""
	}
	return p.stored.rounded()
}

// ReadInt8 is Read of rows that are stored in 8 bits: row j of q, which has a whole number of them, one for each scale,
// stands for scale[j]·q[j]. ok is false where one of them is not stored so, or not within −127 … 127.
func (p *Params) ReadInt8(q []int8, scale []float32, offset int) (ok bool, err error) {
	if p.stored == nil || p.Data != nil {
		return false, nil
	}
	all, row := q, len(q)/max(len(scale), 1)
	for len(q) > 0 {
		i := slices.IndexFunc(p.stored.pieces, func(s storedPiece) bool { return offset < s.end })
		if i < 0 {
			return false, nil
		}
		piece := &p.stored.pieces[i]
		from := offset - piece.begin
		if from < 0 || piece.steps == nil || piece.scales != nil || piece.end-piece.begin != row*len(piece.steps) ||
			from%row != 0 {
			return false, nil
		}
		n := min(len(q), piece.end-offset)
		if err := piece.tensor.ReadInt8s(q[:n], from); err != nil {
			return false, p.stored.named(err)
		}
		copy(scale, piece.steps[from/row:][:n/row])
		q, scale, offset = q[n:], scale[n/row:], offset+n
	}
	lowest := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(all))), len(all))
	return bytes.IndexByte(lowest, 0x80) < 0, nil
}

// encodeRounded makes the tensors of a file from the parameters, with the weights of the blocks as dtype.
func encodeRounded(params *Params, pieces []piece, dtype weights.DType) (tensors []weights.Tensor, err error) {
	for _, p := range pieces {
		if !rounds(p.Tensor) {
			list, err := encode(params, []piece{p}, weights.F32)
			if err != nil {
				return nil, err
			}
			tensors = append(tensors, list...)
			continue
		}
		out, in := p.Shape[0], p.Len()/p.Shape[0]
		x := make([]float32, p.Len())
		if err := params.Read(x, p.Offset); err != nil {
			return nil, err
		}
		if err := finite(p.stored, x, 0); err != nil {
			return nil, err
		}
		if strings.HasSuffix(p.Name, "attn.proj.weight") || strings.HasSuffix(p.Name, "mlp.fc2.weight") {
			tensors = append(tensors, weights.Float32Tensor(p.stored+firstEnd, []int{in}, x[:in]))
		}
		if dtype == weights.BF16 {
			half := make([]uint16, p.Len()+1)
			kernels.RoundBF16(half, p.Len()+1, x, p.Len(), 1, p.Len())
			for i, v := range half[:p.Len()] {
				x[i] = weights.BFloat16(v).Float32()
			}
			list, err := encodeFloats(p, x, weights.BF16)
			if err != nil {
				return nil, err
			}
			tensors = append(tensors, list)
			continue
		}
		q, steps := make([]int8, p.Len()), make([]float32, out)
		if ok, err := params.ReadInt8(q, steps, p.Offset); err != nil {
			return nil, err
		} else if !ok {
			quantize(q, steps, x, in)
		}
		tensors = append(tensors, weights.Int8Tensor(p.stored, p.Shape, q),
			weights.Float32Tensor(p.stored+stepsEnd, []int{out, 1}, steps))
	}
	return tensors, nil
}

// quantize fills q and its rows' steps with x, rows of n numbers, as PackInt8 does.
func quantize(q []int8, steps, x []float32, n int) {
	row := make([]uint8, kernels.Int8Stride(n))
	for j := range steps {
		kernels.QuantizeRows(row, len(row), steps[j:], x[j*n:], n, 1, n)
		for i, v := range row[:n] {
			q[j*n+i] = int8(v ^ 0x80)
		}
	}
}
