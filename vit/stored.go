package vit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/adavit/adavit/weights"
)

// stored is what Params.Data would hold, still in a file. It is read by any number of goroutines at once.
type stored struct {
	file   string // its name, for errors; "" if these get it elsewhere
	pieces []storedPiece
}

// storedPiece is a tensor's place in Params.Data. Pieces lie in order; what is between them is zero.
type storedPiece struct {
	tensor     weights.Tensor
	begin, end int
	scales     []float32 // that its rows are multiplied by, or nil
	steps      []float32 // of 8 bits: what one of them stands for in each row; else nil
	first      []float32 // the first row as it was before it was rounded, or nil
}

// errNoData is about Params that are a configuration and nothing else.
var errNoData = errors.New("vit: the model's parameters are not there")

// Read copies Data[offset:offset+len(dst)], or reads what that would be from the files that the parameters are still in
// (LoadOptions.Stored), whatever the tensors that these elements belong to. A number in a file that is not finite is an
// error that names file and tensor. Goroutines may read at the same time.
func (p *Params) Read(dst []float32, offset int) error {
	switch {
	case offset < 0 || len(dst) > p.Config.ParamCount()-offset:
		return fmt.Errorf("vit: parameters %d to %d of %d are wanted", offset, offset+len(dst), p.Config.ParamCount())
	case p.Data != nil:
		copy(dst, p.Data[offset:])
		return nil
	case p.stored == nil:
		return errNoData
	}
	return p.stored.named(p.stored.read(dst, offset))
}

// Checksum is the SHA-256, in hex, of about and of all parameters behind it: in their order, as float32 in
// little-endian, wherever they are.
func (p *Params) Checksum(about []byte) (string, error) {
	h := sha256.New()
	h.Write(about)
	numbers, bytes := make([]float32, 1<<14), make([]byte, 0, 4<<14)
	for at, n := 0, p.Config.ParamCount(); at < n; at += len(numbers) {
		numbers, bytes = numbers[:min(len(numbers), n-at)], bytes[:0]
		if err := p.Read(numbers, at); err != nil {
			return "", err
		}
		for _, v := range numbers {
			bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(v))
		}
		h.Write(bytes)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Whole returns the parameters with all of them in memory: p itself, if Data is there, else new ones that are read from
// p's files.
func (p *Params) Whole() (*Params, error) {
	q, err := p.whole()
	if err != nil && p.stored != nil {
		err = p.stored.named(err)
	}
	return q, err
}

// whole is Whole; its errors do not name the file.
func (p *Params) whole() (*Params, error) {
	if p.Data != nil {
		return p, nil
	}
	if p.stored == nil {
		return nil, errNoData
	}
	q := NewParams(p.Config)
	if err := p.stored.read(q.Data, 0); err != nil {
		return nil, err
	}
	return q, nil
}

// named puts the file's name in front of an error.
func (s *stored) named(err error) error {
	if err == nil || s.file == "" {
		return err
	}
	return fmt.Errorf("vit: %s: %w", s.file, err)
}

// read fills dst with what begins at the given place.
func (s *stored) read(dst []float32, offset int) error {
	at, _ := slices.BinarySearchFunc(s.pieces, offset, func(p storedPiece, offset int) int {
		if p.end <= offset {
			return -1
		}
		return 1
	})
	for _, p := range s.pieces[at:] {
		if p.begin > offset { // no such tensor in the file
			n := min(p.begin-offset, len(dst))
			clear(dst[:n])
			dst, offset = dst[n:], offset+n
		}
		n := min(p.end-offset, len(dst))
		if n == 0 {
			return nil
		}
		if err := p.read(dst[:n], offset-p.begin); err != nil {
			return err
		}
		dst, offset = dst[n:], offset+n
	}
	clear(dst)
	return nil
}

// read fills dst with the piece's elements from the given one on.
func (p *storedPiece) read(dst []float32, from int) error {
	if p.steps != nil {
		row := (p.end - p.begin) / len(p.steps)
		q := make([]int8, len(dst))
		if err := p.tensor.ReadInt8s(q, from); err != nil {
			return err
		}
		for i, v := range q {
			dst[i] = float32(v) * p.steps[(from+i)/row]
		}
	} else if err := p.tensor.ReadFloat32s(dst, from); err != nil {
		return err
	}
	if from < len(p.first) {
		copy(dst, p.first[from:])
	}
	if p.scales != nil {
		row := (p.end - p.begin) / len(p.scales)
		for i := range dst {
			dst[i] *= p.scales[(from+i)/row]
		}
	}
	return finite(p.tensor.Name, dst, from)
}
