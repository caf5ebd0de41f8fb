package archive

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// A File is what a manifest says of one file.
type File struct {
	Path   string // relative to the folder, with slashes
	Mode   fs.FileMode
	Target string // of a symbolic link
	Size   int64  // of a regular file
	SHA256 [sha256.Size]byte
}

// A Manifest lists the files of a folder in the order of their paths.
type Manifest []File

// Scan returns the manifest of a folder.
func Scan(dir string) (Manifest, error) {
	return walk(dir, func(File) (io.Writer, error) { return io.Discard, nil })
}

// Size returns the bytes of all files.
func (m Manifest) Size() int64 {
	var size int64
	for _, f := range m {
		size += f.Size
	}
	return size
}

// Compare returns an error that names each file in which got differs from m.
func (m Manifest) Compare(got Manifest) error {
	have := map[string]File{}
	for _, g := range got {
		have[g.Path] = g
	}
	var errs []error
	for _, w := range m {
		g, found := have[w.Path]
		delete(have, w.Path)
		switch {
		case !found:
			errs = append(errs, fmt.Errorf("%s is missing", w.Path))
		case g.SHA256 != w.SHA256:
			errs = append(errs, fmt.Errorf("%s differs: its SHA-256 is %x, want %x", w.Path, g.SHA256, w.SHA256))
		case g != w:
			errs = append(errs, fmt.Errorf("%s is %s %q, want %s %q", w.Path, g.Mode, g.Target, w.Mode, w.Target))
		}
	}
	for _, g := range got {
		if _, left := have[g.Path]; left {
			errs = append(errs, fmt.Errorf("%s was not in the archive", g.Path))
		}
	}
	return errors.Join(errs...)
}

// walk lists the regular files and symbolic links of a folder, and copies the
// content of each to the writer that begin returns for it.
func walk(dir string, begin func(File) (io.Writer, error)) (Manifest, error) {
	var m Manifest
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		f, err := inspect(dir, path, e)
		if err != nil {
			return err
		}
		w, err := begin(f)
		if err != nil {
			return err
		}
		if f.Mode.IsRegular() {
			if f.SHA256, err = transfer(w, path); err != nil {
				return err
			}
		}
		m = append(m, f)
		return nil
	})
	slices.SortFunc(m, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return m, err
}

func inspect(dir, path string, e fs.DirEntry) (File, error) {
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return File{}, err
	}
	info, err := e.Info()
	if err != nil {
		return File{}, err
	}
	f := File{Path: filepath.ToSlash(name)}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		f.Mode, f.Size = mode.Perm(), info.Size()
	case mode&fs.ModeSymlink != 0:
		// Systems differ in the permissions of a link.
		f.Mode = fs.ModeSymlink
		if f.Target, err = os.Readlink(path); err != nil {
			return File{}, err
		}
	default:
		return File{}, fmt.Errorf("%s is neither a file nor a symbolic link", f.Path)
	}
	return f, nil
}

func transfer(to io.Writer, path string) ([sha256.Size]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	defer file.Close()
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(to, sum), file)
	return [sha256.Size]byte(sum.Sum(nil)), err
}
