package weights

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// FuzzPickle runs any bytes as a pickle. Its values must be fit to be walked, which is what checkNesting promises.
func FuzzPickle(f *testing.F) {
	for _, name := range []string{"views.pth", "views_protocol4.pth", "training.pth", "rebuilt.pth"} {
		b, err := os.ReadFile(pthPath(name))
		if err != nil {
			f.Fatal(err)
		}
		z, err := openZip(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			f.Fatal(err)
		}
		text, err := z.read(strings.TrimSuffix(name, ".pth") + "/data.pkl")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(pickleDict(goodTensor)))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, u, err := unpickle(string(b))
		if err != nil {
			if text := err.Error(); !strings.HasPrefix(text, "pickle at byte ") || len(text) > 1000 {
				t.Fatalf("error %q", text)
			}
			return
		}
		if u.in.pos > int64(len(b)) || b[u.in.pos-1] != opStop {
			t.Fatalf("stopped at %d of %d bytes", u.in.pos, len(b))
		}
		if again := u.in.pos; again == int64(len(b)) {
			if w, _, err := unpickle(string(b)); err != nil || kindOf(v) != kindOf(w) {
				t.Fatalf("%s, then %s, %v", kindOf(v), kindOf(w), err)
			}
		}
	})
}

// FuzzCheckpoint reads any bytes as a checkpoint of either container. What is accepted must be sound.
func FuzzCheckpoint(f *testing.F) {
	for _, name := range []string{"views.pth", "views_legacy.pth",
		"dtypes.pth", "dtypes_legacy.pth", "rebuilt_legacy.pth", "unchecked.pth"} {
		b, err := os.ReadFile(pthPath(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, name := range []string{"plain.npz", "deflated.npz"} {
		b, err := os.ReadFile(npzPath(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(zipOf(pickleDict(goodTensor)))
	f.Add(zip64Of(nil, nil))
	f.Add(legacyOf(littleEndian, pickleDict(goodTensor), oneKey, eightOnes))
	// Without checksums a change of a pickle does not end at once.
	f.Add(buildZip([]zipFile{{name: "a/data.pkl", data: pickleDict(goodTensor), crc: -zipSum(pickleDict(goodTensor))},
		{name: "a/data/0", data: eightOnes[8:], crc: -zipSum(eightOnes[8:])}}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodePth(b, "")
		if err == nil {
			checkSound(t, c, int64(len(b)))
		} else if text := err.Error(); !strings.HasPrefix(text, "weights: x.pth: ") || len(text) > 4000 {
			t.Fatalf("error %q", text)
		}
	})
}
