// Package archive packs a folder into a tar.gz stream, unpacks it, and compares
// folders file by file.
package archive

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// Pack writes the files of a folder to w and returns what it has packed. The same
// files give the same archive.
func Pack(w io.Writer, dir string) (Manifest, error) {
	zipped, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	packed := tar.NewWriter(zipped)
	m, err := walk(dir, func(f File) (io.Writer, error) {
		header := &tar.Header{Name: f.Path, Mode: int64(f.Mode.Perm()), Size: f.Size, Typeflag: tar.TypeReg}
		if f.Mode&fs.ModeSymlink != 0 {
			header.Typeflag, header.Linkname = tar.TypeSymlink, f.Target
		}
		return packed, packed.WriteHeader(header)
	})
	return m, errors.Join(err, packed.Close(), zipped.Close())
}

// Unpack writes the files of an archive to a folder. It writes nothing outside of
// it. An archive that is damaged gives an error, after everything readable in it
// was unpacked.
func Unpack(dir string, r io.Reader) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	packed := tar.NewReader(zipped)
	for {
		header, err := packed.Next()
		if errors.Is(err, io.EOF) {
			// The checksum stands behind the end of the tar.
			_, err = io.Copy(io.Discard, zipped)
			return err
		}
		if err != nil {
			return err
		}
		if err := unpack(root, header, packed); err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
	}
}

func unpack(root *os.Root, header *tar.Header, content io.Reader) error {
	if err := root.MkdirAll(path.Dir(header.Name), 0o755); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeSymlink:
		return root.Symlink(header.Linkname, header.Name)
	case tar.TypeReg:
		mode := header.FileInfo().Mode().Perm()
		file, err := root.OpenFile(header.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode|0o200)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, content)
		// The umask of the process must not matter.
		return errors.Join(err, file.Chmod(mode), file.Close())
	default:
		return fmt.Errorf("unexpected kind of entry %q", header.Typeflag)
	}
}
