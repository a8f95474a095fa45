package data

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/picture"
)

// layout makes a folder of files, a line each: a path, or "path: content". A path in braces, {a,b}/1.png, is several.
// Pictures without content are of 3×3 pixels; an ending of / makes an empty folder.
func layout(t *testing.T, lines string) string {
	t.Helper()
	dir := t.TempDir()
	for line := range strings.Lines(lines) {
		name, content, given := strings.Cut(strings.TrimSpace(line), ": ")
		if name == "" {
			continue
		}
		paths := []string{name}
		if strings.Contains(name, "{") {
			var err error
			if paths, err = expandBraces(name); err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range paths {
			b := []byte(strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(content))
			if !given {
				b = plain(t, 3, 3, 7)
			}
			if strings.HasSuffix(path, "/") {
				path, b = path+"/.keep", nil
			}
			filetest.Write(t, b, dir, filepath.FromSlash(path))
		}
	}
	return dir
}

// described tells the parts of a data set, and what is left out, in a line each.
func described(t *testing.T, dir string) string {
	t.Helper()
	s, err := Find(dir)
	if err != nil {
		return "error: " + strings.ReplaceAll(err.Error(), dir, "DIR")
	}
	var lines []string
	row := func(c Contents, classes string) {
		line := fmt.Sprintf("%s %s", c.Part, classes)
		if len(c.Skipped) > 0 {
			line += " - " + c.SkippedText()
		}
		lines = append(lines, line)
	}
	for _, split := range splits {
		if !s.Has(split) {
			continue
		}
		d, err := s.Open(split)
		if err != nil {
			lines = append(lines, "error: "+strings.ReplaceAll(err.Error(), dir, "DIR"))
			continue
		}
		count := make([]int, len(d.Classes()))
		for i := range d.Len() {
			count[d.Label(i)]++
		}
		var classes []string
		for i, name := range d.Classes() {
			classes = append(classes, fmt.Sprintf("%s:%d", name, count[i]))
		}
		row(ContentsOf(string(split), d), strings.Join(classes, " "))
	}
	for _, c := range Rest(s) {
		row(c, strings.TrimPrefix(strings.TrimPrefix(c.Folder, dir), "/"))
	}
	return strings.Join(lines, "\n")
}

// TestTree: which folder is what, what is found in it, and what is left out.
func TestTree(t *testing.T) {
	for _, c := range []struct{ name, files, want string }{
		{"classes", "{b,a}/{1,2}.png", "train a:2 b:2"},
		{"numbers", "{0,1,10,2}/1.png", "train 0:1 1:1 2:1 10:1"},
		{"padded numbers", "{00,01,100,20}/1.png", "train 00:1 01:1 20:1 100:1"},
		{"three parts", "{train,val,test}/{a,b}/1.png\ntrain/a/2.png",
			"train a:2 b:1\nvalidation a:1 b:1\ntest a:1 b:1"},
		{"in any case", "{Training,VALID,Testing}/{a,b}/1.png",
			"train a:1 b:1\nvalidation a:1 b:1\ntest a:1 b:1"},
		{"with more words", "{train_set,validation-set,test_images}/{a,b}/1.png",
			"train a:1 b:1\nvalidation a:1 b:1\ntest a:1 b:1"},
		{"wrapped parts", "{seg_train/seg_train,seg_test/seg_test}/{a,b}/1.png\nseg_pred/seg_pred/{1,2}.png",
			"train a:1 b:1\ntest a:1 b:1\n-  - 1 neither class nor part (seg_pred)"},
		{"a class called train", "{bus,car,train}/1.png", "train bus:1 car:1 train:1"},
		{"a class called train with folders", "{bus,car}/1.png\ntrain/{freight,fast}/1.png", "train bus:1 car:1 train:2"},
		{"classes with words of parts", "{crash_test,train_station}/1.png", "train crash_test:1 train_station:1"},
		{"one class called train", "train/1.png", "train train:1"},
		{"the training part alone", "train/{a,b}/1.png", "train a:1 b:1"},
		{"others beside parts", "{train,test}/{a,b}/1.png\nunlabeled/1.png\ndocs/x.pdf: p\nREADME.md: r\nloose.png",
			"train a:1 b:1\ntest a:1 b:1\n" +
				"-  - 1 folder without a picture (docs); 1 in no class folder (loose.png); 1 not a picture (README.md); " +
				"1 neither class nor part (unlabeled)"},
		{"two names for a part", "{train,val,valid}/{a,b}/1.png",
			`error: data set "DIR": both val and valid are names for the validation part: which is meant?`},
		{"unpacked archive", "pets-v1.2/{train,test}/{a,b}/1.png\n__MACOSX/pets-v1.2/train/a/._1.png",
			"train a:1 b:1\ntest a:1 b:1"},
		{"unpacked classes", "data/pets/{a,b}/1.png", "train a:1 b:1"},
		{"deeper down", "a/1.png\na/2021/may/2.png\na/2022/3.png\nb/x/1.png", "train a:3 b:1"},
		{"by content", "a/1.png\na/2.JPEG\na/3\na/4.picture\na/notes.txt: n\na/5.txt: n\n" +
			"b/1.JFIF\nb/2.ppm: P5\\n1 1\\n255\\nx",
			"train a:4 b:2 - 2 not a picture (5.txt, …)"},
		{"debris", "{cats,dogs}/{1,._1}.png\n__MACOSX/cats/._1.png\ncats/@eaDir/1.png/thumb.png\ndogs/Thumbs.db: x\n" +
			".hidden/1.png\ncats/.DS_Store: x\n@eaDir/1.png\nlost+found/",
			"train cats:1 dogs:1 - 4 hidden (.hidden, …); 5 debris of other programs (@eaDir, …)"},
		{"empty folders", "{a,b}/1.png\nc/\nd/notes.txt: n", "train a:1 b:1 - 2 folder without a picture (c, …); " +
			"0"},
		{"Tiny ImageNet", "train/{n01,n02}/images/{1,2}.png\ntrain/n01/n01_boxes.txt: 1.png\\t0\\t0\n" +
			"val/images/val_{0..2}.png\nval/val_annotations.txt: val_0.png\\tn02\\t0\\t0\\t9\\t9\\n" +
			"val_1.png\\tn01\\t0\\t0\\t9\\t9\\n" +
			"val_2.png\\tn02\\t0\\t0\\t9\\t9\\n\ntest/images/test_{0,1}.png\nwnids.txt: n02\\nn01\nwords.txt: n01\\tx",
			"train n01:2 n02:2 - 1 not a picture (n01_boxes.txt)\nvalidation n01:1 n02:2\n" +
				"test test - 2 without a label (test_0.png, …)\n-  - 2 not a picture (wnids.txt, …)"},
		{"Kaggle's unlabelled test", "train/{a,b}/1.png\ntest/{1,2,3}.png",
			"train a:1 b:1\ntest test - 3 without a label (1.png, …)"},
		{"an unlabelled test in a folder", "train/{a,b}/1.png\ntest/unknown/{1,2}.png",
			"train a:1 b:1\ntest test - 2 without a label (1.png, …)"},
		{"a test part with one class", "train/{a,b}/1.png\ntest/b/2021/1.png", "train a:1 b:1\ntest a:0 b:1"},
		{"nothing", "", `error: data set "DIR": neither IDX files (t10k-images-idx3-ubyte, …) nor CIFAR's ` +
			`(test_batch.bin, …), .tar files, or sub-folders with image files; it is empty`},
		{"other formats", "data/train-00000-of-00001.parquet: p\nREADME.md: r", `error: data set "DIR": neither IDX ` +
			`files (t10k-images-idx3-ubyte, …) nor CIFAR's (test_batch.bin, …), .tar files, or sub-folders with image ` +
			`files; found are 1 other files (README.md), 1 folder without a picture (data); train-00000-of-00001.parquet ` +
			`is tables of pictures, as Hugging Face's hub keeps them: write the pictures out, into a folder for each class`},
		{"CIFAR for Python", "data_batch_1: p\nbatches.meta: m", `error: data set "DIR": neither IDX files ` +
			`(t10k-images-idx3-ubyte, …) nor CIFAR's (test_batch.bin, …), .tar files, or sub-folders with image files; ` +
			`found are 2 other files (batches.meta, data_batch_1); batches.meta is pickles of CIFAR's version for Python: ` +
			`take the binary version (cifar-10-binary.tar.gz)`},
		{"pictures alone", "{1,2}.png", `error: data set "DIR": nothing labels its pictures: want a sub-folder for each ` +
			`class, or a list of file names and labels beside them (labels.csv headed file_name,label, or metadata.jsonl); ` +
			`found are 2 pictures (1.png, 2.png)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := strings.ReplaceAll(c.want, "; 0", "")
			if got := described(t, layout(t, c.files)); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestNormalisedNames: a class is the same in both of Unicode's spellings.
func TestNormalisedNames(t *testing.T) {
	const composed, apart = "caf\u00e9", "cafe\u0301"
	dir := layout(t, "train/{"+apart+",tea}/1.png\ntest/{"+composed+",tea}/1.png")
	want := "train " + composed + ":1 tea:1\ntest " + composed + ":1 tea:1"
	if got := described(t, dir); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	filetest.Write(t, []byte(apart+"\ntea\nmilk\n"), dir, "classes.txt")
	if d, err := Open(dir, Train); err != nil || !slices.Equal(d.Classes(), []string{composed, "tea", "milk"}) ||
		!ContentsOf("train", d).Listed {
		t.Errorf("%v %v", d, err)
	}
}

// TestRelabel: pictures get other classes, those of none are left out and told.
func TestRelabel(t *testing.T) {
	d, err := Open(layout(t, "{a,b,c}/{1,2}.png\nc/x.txt: x"), Train)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := Relabel(d, []int{0, 1, 2}, []string{"a", "b", "c"}); err != nil || same != d {
		t.Errorf("%v %v", same, err)
	}
	r, err := Relabel(d, []int{3, -1, 0}, []string{"c", "x", "y", "a"})
	if err != nil {
		t.Fatal(err)
	}
	c := ContentsOf("test", r)
	if r.Len() != 4 || r.Label(0) != 3 || r.Label(3) != 0 || c.Classes != 2 || c.Pictures != 4 ||
		c.SkippedText() != "1 not a picture (x.txt); 2 of classes that the model does not know (b, …)" {
		t.Errorf("%d pictures, labels %d and %d, %+v", r.Len(), r.Label(0), r.Label(3), c)
	}
	if img, err := Image(r, 3, picture.Decoding{}); err != nil || img.Bounds().Dx() != 3 {
		t.Error(err)
	}
	if _, err := Relabel(d, []int{-1, -1, -1}, []string{"z"}); err != ErrNoPicture {
		t.Error(err)
	}
	_, err = Relabel(d, []int{0}, nil)
	filetest.WantError(t, err, "1 classes for 3")
}

// TestLinkedFolders: a class may be a link, but not to the data set itself or to what is around it.
func TestLinkedFolders(t *testing.T) {
	dir := layout(t, "set/{a,b}/1.png\nelsewhere/{1,2}.png")
	link := func(to, name string) {
		filetest.Check(t, os.Symlink(filepath.FromSlash(to), filepath.Join(dir, "set", name)))
	}
	link("../elsewhere", "c")
	link(".", "again")
	link("..", "up")
	link("../set", "self")
	link("../a", "a/loop")
	want := "train a:1 b:1 c:2 - 4 linked folder (again, …)"
	if got := described(t, filepath.Join(dir, "set")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, name := range []string{"pictures.zip", "medmnist.npz"} {
		filetest.Write(t, nil, dir, name)
		_, err := Open(filepath.Join(dir, name), Train)
		filetest.WantError(t, err, name, map[bool]string{true: "unpack it", false: "write the pictures out"}[name[0] == 'p'])
	}
}
