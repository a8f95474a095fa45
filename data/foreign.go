package data

import (
	"io/fs"
	"path/filepath"
	"regexp"
)

// foreign are formats of data sets that are not read, by the names of files, so that errors can say what to do.
var foreign = []struct {
	name *regexp.Regexp
	what string
}{
	{regexp.MustCompile(`^(batches\.meta|data_batch_\d)$`),
		"pickles of CIFAR's version for Python: take the binary version (cifar-10-binary.tar.gz)"},
	{regexp.MustCompile(`(?i)\.(parquet|arrow|feather)$`),
		"tables of pictures, as Hugging Face's hub keeps them: write the pictures out, into a folder for each class"},
	{regexp.MustCompile(`(?i)\.(zip|7z|rar)$`), "an archive: unpack it, and name the folder"},
	{regexp.MustCompile(`(?i)\.tfrec(ord)?s?(-\d+-of-\d+)?$`),
		"records of TensorFlow: write the pictures out, into a folder for each class"},
	{regexp.MustCompile(`(?i)\.(npz|npy|mat|h5|hdf5|pkl|pickle|lmdb|mdb|rec|beton)$`),
		"arrays or records of another program: write the pictures out, into a folder for each class"},
}

// foreignFile says what a file of that name holds; "" if it is not known.
func foreignFile(name string) string {
	for _, f := range foreign {
		if f.name.MatchString(name) {
			return f.what
		}
	}
	return ""
}

// foreignIn looks for such a file in dir and below it, among the first thousand that are there.
func foreignIn(dir string) (text string) {
	left := 1000
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error { // what cannot be read says nothing
		if left--; left < 0 {
			return fs.SkipAll
		}
		if err != nil || d.IsDir() {
			return nil
		}
		if what := foreignFile(d.Name()); what != "" {
			text = "; " + d.Name() + " is " + what
			return fs.SkipAll
		}
		return nil
	})
	return text
}
