package git

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// objects are the files with the objects of a repository, by path.
type objects struct {
	dir   string
	files map[string]bool
}

// noObjects returns those of a repository at dir that has none yet.
func noObjects(dir string) objects {
	_, common := gitDirectories(dir)
	return objects{dir: filepath.Join(common, "objects"), files: map[string]bool{}}
}

// objectsOf lists those of the repository at dir.
func objectsOf(dir string) objects {
	_, common := gitDirectories(dir)
	return objectsIn(common)
}

// objectsIn lists those of a git directory, which need not exist.
func objectsIn(gitDir string) objects {
	o := objects{dir: filepath.Join(gitDir, "objects"), files: map[string]bool{}}
	o.each(func(path string, _ fs.DirEntry) { o.files[path] = true })
	return o
}

// added returns the size of what has come since, in bytes.
func (o objects) added() int64 {
	var size int64
	o.each(func(path string, d fs.DirEntry) {
		if o.files[path] {
			return
		}
		if info, err := d.Info(); err == nil {
			size += info.Size()
		}
	})
	return size
}

// each calls f with all packs and all objects that are files of their own.
func (o objects) each(f func(path string, d fs.DirEntry)) {
	dirs, err := os.ReadDir(o.dir)
	if err != nil {
		return
	}
	for _, dir := range dirs {
		packs := dir.Name() == "pack"
		if !packs && len(dir.Name()) != 2 {
			continue
		}
		path := filepath.Join(o.dir, dir.Name())
		files, err := os.ReadDir(path)
		if err != nil {
			continue
		}
		for _, file := range files {
			if packs == strings.HasSuffix(file.Name(), ".pack") && !strings.HasPrefix(file.Name(), "tmp_") {
				f(filepath.Join(path, file.Name()), file)
			}
		}
	}
}
