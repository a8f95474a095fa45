package report

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"strings"
	"testing"
)

// contrastOf is a class whose easy image has the grey value v and the depth 2, its hard one v+1 and 9.
func contrastOf(class int, v byte) Contrast {
	sample := func(v byte, depth int) Sample {
		s := gradient(28, 28, 1, 7, 7, 12)
		s.Pixels = bytes.Repeat([]byte{v}, len(s.Pixels))
		for k := range s.Depth {
			s.Depth[k] = depth
		}
		return s
	}
	c := Contrast{ClassMean{class, fmt.Sprintf("class %d", class), 5, 4.25, 80}, sample(v, 2), sample(v+1, 9)}
	c.Easy.ClassDepth = 3
	return c
}

// TestEasyHard finds each class's images in their places, and their maps below them.
func TestEasyHard(t *testing.T) {
	list := []Contrast{contrastOf(0, 40), contrastOf(1, 50), contrastOf(2, 60)}
	img, err := EasyHard(list, FigureOptions{Title: "Title", Columns: []string{"ignored"}})
	if err != nil {
		t.Fatal(err)
	}
	type place struct{ n, left, top int }
	found := map[color.RGBA]place{}
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			c := img.RGBAAt(x, y)
			p, ok := found[c]
			if !ok {
				p = place{0, x, y}
			}
			found[c] = place{p.n + 1, min(p.left, x), p.top}
		}
	}
	grey := func(v byte) place { return found[color.RGBA{v, v, v, 255}] }
	for i, v := range []byte{40, 50, 60} {
		easy, hard := grey(v), grey(v+1)
		if easy.n < 84*84 || hard.n < 84*84 || easy.left != hard.left || easy.top+2*84 > hard.top {
			t.Errorf("class %d: easy %v, hard %v", i, easy, hard)
		}
		if i > 0 && easy.left < grey(v-10).left+84 {
			t.Errorf("class %d is not at the right of the one before", i)
		}
		for s, at := range map[*Sample]place{&list[i].Easy: easy, &list[i].Hard: hard} {
			want := depthMap(*s, 84).RGBAAt(6, 6)
			if got := img.RGBAAt(at.left+6, at.top+84+pairGap+6); got != want {
				t.Errorf("class %d: %v below an image, in its map %v", i, got, want)
			}
		}
	}
	again, err := EasyHard(list, FigureOptions{Title: "Title"})
	if err != nil || !bytes.Equal(again.Pix, img.Pix) {
		t.Errorf("drawn again it is another figure: %v", err)
	}

	bad, deep := contrastOf(1, 9), contrastOf(1, 9)
	bad.Hard.Depth = nil
	deep.Hard.Layers = 24
	for _, c := range []Contrast{bad, deep} {
		if _, err := EasyHard([]Contrast{list[0], c}, FigureOptions{}); !errors.Is(err, ErrSample) ||
			!strings.Contains(err.Error(), `class "class 1"`) && !strings.Contains(err.Error(), `"class 1" has 24`) {
			t.Errorf("error %v", err)
		}
	}
	if _, err := EasyHard(nil, FigureOptions{}); err == nil {
		t.Error("a figure of nothing: no error")
	}
}

// TestContrastsOnPage: two images with their maps for each class, and where they ended.
func TestContrastsOnPage(t *testing.T) {
	list := []Contrast{contrastOf(0, 40), contrastOf(1, 50)}
	list[1].Hard.Depth[4] = 0 // the legend begins with 0
	page, err := HTML(Page{Contrasts: list})
	if err != nil {
		t.Fatal(err)
	}
	elements, text := check(t, page)
	for name, want := range map[string]int{"article": 2, "image": 4, "img": 4, "use": 0} {
		if got := countOf(elements, name, ""); got != want {
			t.Errorf("%d <%s>, want %d", got, name, want)
		}
	}
	want := "blocks a patch ran in 0 1 2 3 4 5 6 7 8 9 10 11 12 class 0 4.25 blocks on average, 80.0 % right " +
		"easy coat 75 % 2.0 of 12 blocks ended in block 3 hard coat 75 % 9.1 of 12 blocks class 1"
	if words := strings.Join(strings.Fields(text), " "); !strings.Contains(words, want) {
		t.Errorf("the page says %q, want %q", words, want)
	}
	list[0].Easy.Width = 0
	if _, err := HTML(Page{Contrasts: list}); !errors.Is(err, ErrSample) || !strings.Contains(err.Error(), "class 0") {
		t.Errorf("a bad image: error %v", err)
	}
}
