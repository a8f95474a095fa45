package data

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
)

// TestLists: labels come from lists of every usual make; what a list lacks, or why it is none, is told.
func TestLists(t *testing.T) {
	noLabels := `error: data set "DIR": nothing labels its pictures: want a sub-folder for each class, or a list of ` +
		`file names and labels beside them (labels.csv headed file_name,label, or metadata.jsonl); `
	for _, c := range []struct{ name, files, want string }{
		{"CSV", `{1,2,3}.png
			labels.csv: filename,label\n1.png,cat\n2.png,dog\n3.png,cat\n`, "train cat:2 dog:1"},
		{"CSV in another folder, without endings, with more columns", `photos/{1,2,3}.png
			labels.csv: id;breed;width\n1;pug;3\n2;husky;3\n3;pug;3\n`, "train husky:1 pug:2"},
		{"CSV without headings", `{1,2}.png
			annotations.csv: 1.png,b\n2.png,a\n`, "train a:1 b:1"},
		{"a number and its name", `{1,2}.png
			labels.csv: image,label,class_name\n1.png,1,dog\n2.png,0,cat\n`, "train cat:1 dog:1"},
		{"labels that look like names of files", `{0,1,2,3}.png
			labels.csv: id,label\n0,1\n1,0\n2,1\n3,0\n`, "train 0:2 1:2"},
		{"one 1 in each row", `{1,2,3}.png
			train.csv: image_id,healthy,rust\n1,0,1\n2,1,0\n3,0,1\n`, "train healthy:1 rust:2"},
		{"numbers", `{1,2,3}.png
			labels.csv: file,label\n1.png,10\n2.png,9\n3.png,9\n`, "train 9:2 10:1"},
		{"numbers that pandas wrote where some were missing", `{1,2,3,4}.png
			labels.csv: ,file,label\n0,1.png,10.0\n1,2.png,9.0\n2,3.png,\n3,4.png,9.0\n`,
			"train 9:2 10:1 - 1 without a label (3.png)"},
		{"fractions", `{1,2}.png
			labels.csv: file,label\n1.png,1.0\n2.png,0.5\n`, "train 0.5:1 1.0:1"},
		{"leading zeros", `{1,2}.png
			labels.csv: file,label\n1.png,007\n2.png,07\n`, "train 007:1 07:1"},
		{"paths of Windows, quotes, semicolons, a mark", `images/{1,2}.png
			labels.csv: ` + "\uFEFF" + `"path";"label"\n"C:\Users\Jo Doe\images\1.png";"cat, big"\n"D:\images\2.png";"dog"\n`,
			"train cat, big:1 dog:1"},
		{"ImageNet at Kaggle", `ILSVRC/Data/CLS-LOC/{train/n01/n01_1,train/n02/n02_1}.JPEG
			ILSVRC/Data/CLS-LOC/{val/val_1,val/val_2,test/test_1}.JPEG
			ILSVRC/Annotations/CLS-LOC/val/val_1.xml: <annotation>
			LOC_synset_mapping.txt: n01 tench, Tinca tinca\nn02 goldfish\n
			LOC_train_solution.csv: ImageId,PredictionString\nn01_1,n01 1 2 3 4 \nn02_1,n02 5 6 7 8 \n
			LOC_val_solution.csv: ImageId,PredictionString\nval_1,n02 1 2 3 4 n02 0 0 6 6 \nval_2,n01 1 1 9 9 \n`,
			"train n01:1 n02:1 - 3 not in LOC_train_solution.csv (test_1.JPEG, …); 2 not a picture (LOC_synset_mapping.txt, " +
				"…)\nvalidation n01:1 n02:1 - 3 not in LOC_val_solution.csv (test_1.JPEG, …); 2 not a picture " +
				"(LOC_synset_mapping.txt, …)"},
		{"numbers of a class list", `{1,2}.png
			classes.txt: cat\ndog\nowl
			labels.csv: file,label\n1.png,1\n2.png,0\n`, "train cat:1 dog:1 owl:0"},
		{"text", `images/{1,a b}.png
			list.txt: # made by hand\nimages/1.png cat\nimages/a b.png dog\n`, "train cat:1 dog:1"},
		{"JSON, an object", `{1,2}.png
			labels.json: {"1.png": "cat", "2.png": "dog"}`, "train cat:1 dog:1"},
		{"JSON, objects", `{1,2}.png
			labels.json: [{"file": "1.png", "label": "cat"}, {"file": "2.png", "label": "dog"}]`, "train cat:1 dog:1"},
		{"JSON, of classes", `{1,2,3}.png
			labels.json: {"cat": ["1.png", "3.png"], "dog": ["2.png"]}`, "train cat:2 dog:1"},
		{"JSON, pairs", `{1,2}.png
			dataset.json: {"labels": [["1.png", 1], ["2.png", 0]]}`, "train 0:1 1:1"},
		{"JSON, of parts", `{1,2,3}.png
			split.json: {"train": [["1.png", 0, "cat"], ["2.png", 1, "dog"]], "test": [["3.png", 0, "cat"]]}`,
			"train cat:1 dog:1\ntest cat:1 dog:0"},
		{"Hugging Face", `{train,test}/{1,2}.png
			train/metadata.jsonl: {"file_name": "1.png", "label": "cat"}\n{"file_name": "2.png", "label": "dog"}\n
			test/metadata.jsonl: {"file_name": "1.png", "label": "dog"}\n{"file_name": "2.png", "label": "dog"}\n`,
			"train cat:1 dog:1\ntest cat:0 dog:2"},
		{"Hugging Face, of all parts", `{train,validation}/{1,2}.png
			metadata.csv: file_name,label\ntrain/1.png,x\ntrain/2.png,y\nvalidation/1.png,y\nvalidation/2.png,x\n`,
			"train x:1 y:1\nvalidation x:1 y:1"},
		{"Hugging Face's captions beside classes", `{a,b}/1.png
			metadata.jsonl: {"file_name": "a/1.png", "text": "one"}\n{"file_name": "b/1.png", "text": "two"}\n`,
			"train a:1 b:1 - 1 not a picture (metadata.jsonl)"},
		{"a column of parts", `images/{1,2,3,4}.png
			data.csv: path,class,split\nimages/1.png,a,train\nimages/2.png,b,train\nimages/3.png,b,val\nimages/4.png,a,test\n`,
			"train a:1 b:1\nvalidation a:0 b:1\ntest a:1 b:0"},
		{"a column of yes and no, as fastai has it", `{1,2,3,4}.png
			train.csv: fname,labels,is_valid\n1.png,a,False\n2.png,b,False\n3.png,b,True\n4.png,a,False\n`,
			"train a:2 b:1\nvalidation a:0 b:1"},
		{"columns of yes and no", `{1,2,3,4}.png
			data.csv: file,train,label,test\n1,1,a,0\n2,1,b,0\n3,0,b,1\n4,0,a,0\n`,
			"train a:1 b:1\ntest a:1 b:1"},
		{"a class that is called like a part", `{1,2}.png
			data.csv: file,test\n1.png,good\n2.png,bad\n`, "train bad:1 good:1"},
		{"lists of parts", `images/{1,2,3}.png
			train.csv: image,label\n1.png,a\n2.png,b\n
			val.csv: image,label\n3.png,b\n`, "train a:1 b:1 - 1 not in train.csv (3.png); 1 not a picture (val.csv)\n" +
			"validation a:0 b:1 - 2 not in val.csv (1.png, …); 1 not a picture (train.csv)"},
		{"lists in a folder of their own, of classes", `images/{cat,dog}/{1,2}.png
			meta/train.json: {"cat": ["cat/1"], "dog": ["dog/1"]}
			meta/train.txt: cat/1\ndog/1\n
			meta/test.json: {"cat": ["cat/2"], "dog": ["dog/2"]}`, "train cat:1 dog:1 - 2 not in train.json (2.png, …); " +
			"1 folder without a picture (meta)\ntest cat:1 dog:1 - 2 not in test.json (1.png, …); " +
			"1 folder without a picture (meta)"},
		{"Kaggle", `train/{1,2}.png
			test/{1,2}.png
			train.csv: id,label\n1,cat\n2,dog\n
			test.csv: id\n1\n2\n
			sample_submission.csv: id,label\n1,cat\n2,cat\n`, "train cat:1 dog:1\ntest test - 2 without a label (1.png, …)\n" +
			"-  - 2 not a picture (test.csv, …)"},
		{"a list of the training part is none of the test's", `{train,test}/{1,2}.png
			labels.csv: file,label\ntrain/1.png,cat\ntrain/2.png,dog\n`,
			"train cat:1 dog:1\ntest test - 2 without a label (1.png, …)"},
		{"what is not there", `{1,2,3}.png
			labels.csv: file,label\n1.png,cat\n2.png,\n4.png,dog\n5.png,cat\n`,
			"train cat:1 - 1 without a label (2.png); 2 listed but not there (4.png, …); 1 not in labels.csv (3.png)"},
		{"other columns", `{1,2}.png
			data.csv: file,colour,weight\n1.png,red,1\n2.png,blue,2\n`,
			noLabels + "data.csv: its columns are file, colour, weight: none of them is headed label"},
		{"other pictures", `{1,2}.png
			data.csv: file,label\nx.png,a\ny.png,b\n`,
			noLabels + "data.csv: it (file, label) names none of the pictures"},
		{"COCO", `train2017/{1,2}.png
			val2017/3.png
			annotations/instances.json: {"images": [{"id": 1}], "annotations": []}`,
			noLabels + "DIR/train2017: 2 without a label (1.png, …); DIR/val2017: 1 without a label (3.png); " +
				"instances.json: keys annotations, images: not a list of pictures and their classes"},
		{"two labels", `{1,2}.png
			data.csv: file,label\n1.png,a\n1.png,b\n`, noLabels + "data.csv: 1.png has two labels, a and b"},
		{"Roboflow", `{train,valid}/{1,2}.png
			train/_classes.csv: filename, cat, dog\n1.png, 0, 1\n2.png, 1, 0\n
			valid/_classes.csv: filename, cat, dog\n1.png, 0, 1\n2.png, 0, 1\n`,
			"train cat:1 dog:1\nvalidation cat:0 dog:2"},
		{"several classes", `{1,2}.png
			_classes.csv: filename, cat, dog\n1.png, 1, 1\n2.png, 1, 0\n`, noLabels + "_classes.csv: its columns cat, … " +
			"hold zeros and ones, but in some rows not a single 1: pictures of several classes, or of none, are not supported"},
		{"Latin-1", "{1,2}.png\ndata.csv: file,label\\n1.png,K\xe4se\\n",
			noLabels + `data.csv: not text in UTF-8: save it so, in a spreadsheet as "CSV UTF-8"`},
		{"two lists", `{1,2}.png
			a.csv: file,label\n1.png,a\n2.png,b\n
			b.csv: file,label\n1.png,a\n2.png,b\n`,
			`error: data set "DIR": both a.csv and b.csv label its pictures: which is meant?`},
		{"no list", `{1,2}.png
			labels.json: {"info": {"x": 1}, "images": 3}
			more.jsonl: nonsense
			empty.csv: \n`,
			noLabels + "empty.csv: it is empty; labels.json: item 2 is an object among arrays; " +
				"more.jsonl: line 1: invalid character 'o' in literal null (expecting 'u')"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := described(t, layout(t, c.files)); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestListFile: a list can be named itself.
func TestListFile(t *testing.T) {
	dir := layout(t, `{1,2}.png
		a.csv: file,label\n1.png,x\n2.png,y\n
		b.csv: file,label\n1.png,z\n
		c.csv: file,label\n3.png,z\n`)
	d, err := Open(filepath.Join(dir, "b.csv"), Train)
	filetest.Check(t, err)
	if c := ContentsOf("train", d); d.Len() != 1 || d.Classes()[0] != "z" || c.Folder != filepath.Join(dir, "b.csv") ||
		c.SkippedText() != "1 not in b.csv (2.png)" {
		t.Errorf("%d pictures, %q, %+v", d.Len(), d.Classes(), c)
	}
	_, err = Open(filepath.Join(dir, "c.csv"), Train)
	filetest.WantError(t, err, "c.csv", "names none of the pictures")
}

// FuzzList: whatever a list holds, it is read or refused, and what it labels are the folder's pictures.
func FuzzList(f *testing.F) {
	for _, seed := range []string{".csv file,label\n1.png,a\n2.png,b", ".json {\"1.png\": \"a\"}", ".txt 1.png a\n2 b",
		".jsonl {\"file_name\": \"1.png\", \"label\": 3}", ".json {\"train\": [[\"1.png\", 2]], \"val\": []}",
		".tsv 1\t0\t1\n2\t1\t0", ".json [{\"a\": [1]}, {\"b\": \"2\"}]", ".csv id,a,b\n1,0,1\n2,1,0"} {
		f.Add([]byte(seed))
	}
	x := newPictureIndex("d", []foundPicture{{"d/1.png", 1}, {"d/2.png", 1}, {"d/e/1.png", 1}})
	f.Fuzz(func(t *testing.T, b []byte) {
		ending, text, _ := strings.Cut(string(b), " ")
		s, err := parseSheet(ending, []byte(text))
		if err != nil {
			return
		}
		l, _, err := s.labelled("list", x, nil)
		if err != nil {
			return
		}
		for _, r := range l.rows {
			if r.label == "" || r.picture.path == "" {
				t.Errorf("a row of picture %q, label %q", r.picture.path, r.label)
			}
		}
	})
}
