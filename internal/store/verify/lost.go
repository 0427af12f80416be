package verify

import (
	standard "archive/tar"
	"bufio"
	"context"
	"hash/maphash"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/internal/crc64iso"
	"github.com/nodeseal/nodeseal/internal/hashtable"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/nodeseal/nodeseal/internal/store/tarsplit"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/archive/tar"
	"golang.org/x/sys/unix"
)

// lostLayer reports why the files of a layer do not make its tar again, "" where they do
// or where the tar-split is damaged.
func lostLayer(ctx context.Context, tarSplit io.ReadSeeker, size int64) (string, error) {
	if _, err := tarSplit.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	zr, err := gzip.NewReader(bufio.NewReaderSize(tarSplit, 64<<10))
	if err != nil {
		return "", nil // damaged: the first look at the layer told
	}
	why, err := tarsplit.Kept(ctx, tarsplit.Bound(ctx, zr, size))
	if err != nil {
		why = ""
	}
	return why, nil
}

// checkLost verifies a layer whose tar cannot be made again, as far as the store tells:
// every file that the tar-split names, its attributes, and its content by the checksum
// that the tar-split has. The diff ID is not proven.
func checkLost(ctx context.Context, diff *os.File, tarSplit io.ReadSeeker, want digest.Digest, size int64, why string) (*layerCheck, error) {
	v := newLayerCheck(ctx, diff)
	defer v.close()
	var rules layerrules.Checker
	rules.Bound(v.work, 2*hashtable.Memory+4)
	var files []layerrules.File
	err := v.members(ctx, tarSplit, size, func(m *tarsplit.Member) error {
		f, err := rules.Add(m.Rules())
		files = append(files, f)
		return err
	})
	i := 0
	if err == nil {
		err = v.members(ctx, tarSplit, size, func(m *tarsplit.Member) error {
			f := files[i]
			i++
			if f != 0 && rules.At(m.Name) != f {
				return ctx.Err() // it was replaced by a later member
			}
			return v.lostMember(ctx, m, rules.At(m.Linkname) == f)
		})
	}
	if err != nil {
		if ctx.Err() != nil || machineFault(err) {
			return nil, err
		}
		v.finding("", "its tar-split is damaged: %w", err)
	}
	if err := v.compare(ctx); err != nil {
		return nil, err
	}
	v.result.DiffID, v.result.Lost = want, why
	v.result.UIDs, v.result.GIDs = slices.Sorted(maps.Keys(v.uids)), slices.Sorted(maps.Keys(v.gids))
	return v, nil
}

func newLayerCheck(ctx context.Context, diff *os.File) *layerCheck {
	v := &layerCheck{
		root: newRoot(diff), work: layerrules.Begin(ctx), seed: maphash.MakeSeed(),
		differ: make(map[uint64]waiting), linked: make(map[uint64]*wanted), result: new(extract.Result),
		uids: make(map[uint32]struct{}), gids: make(map[uint32]struct{}),
	}
	v.hash.SetSeed(v.seed)
	return v
}

// close ends the work. What was found stays.
func (v *layerCheck) close() {
	v.root.close()
	v.differ, v.linked, v.last = nil, nil, nil
	v.places, v.proven = hashtable.Table{}, hashtable.Table{}
	v.work.Done()
}

// members reads the tar-split from its start.
func (v *layerCheck) members(ctx context.Context, tarSplit io.ReadSeeker, size int64, f func(*tarsplit.Member) error) error {
	if _, err := tarSplit.Seek(0, io.SeekStart); err != nil {
		return err
	}
	zr, err := gzip.NewReader(bufio.NewReaderSize(tarSplit, 64<<10))
	if err != nil {
		return err
	}
	return tarsplit.Members(tarsplit.Bound(ctx, zr, size), f)
}

// lostMember notes what one member wants, and compares its content. linked says that the
// target of a hard link still is the same file.
func (v *layerCheck) lostMember(ctx context.Context, m *tarsplit.Member, linked bool) error {
	hdr := *m.Header
	if m.Typeflag == tar.TypeReg {
		hdr.Size = m.Entry.Size
	}
	if m.Typeflag == tar.TypeLink && !linked {
		hdr.Linkname = hdr.Name
	}
	if err := v.header(standardHeader(&hdr)); err != nil {
		return err
	}
	if v.last == nil || v.last.kind != unix.S_IFREG || m.Typeflag != tar.TypeReg || m.Entry.Size == 0 {
		return ctx.Err()
	}
	fd, err := v.root.openFile(m.Entry.GetName())
	if err != nil {
		return v.missing(clean(m.Name), err)
	}
	defer unix.Close(fd)
	v.opened(fd)
	var sum uint64
	buf := make([]byte, bufferSize)
	for {
		n, err := read(fd, buf)
		if err != nil {
			v.finding(clean(m.Name), "its content is damaged: reading: %w", err)
			return nil
		}
		if n == 0 || ctx.Err() != nil {
			break
		}
		sum = crc64iso.Update(sum, buf[:n])
	}
	var want [8]byte
	for i := range want {
		want[i] = byte(sum >> (56 - 8*i))
	}
	if ctx.Err() == nil && string(want[:]) != string(m.Entry.Payload) {
		v.finding(clean(m.Name), "its content is damaged: it has another checksum")
	}
	return ctx.Err()
}

// standardHeader is a header of the fork of archive/tar that tar-split has, as the
// standard library's.
func standardHeader(h *tar.Header) *standard.Header {
	return &standard.Header{
		Typeflag: h.Typeflag, Name: h.Name, Linkname: h.Linkname, Size: h.Size, Mode: h.Mode, Uid: h.Uid, Gid: h.Gid,
		ModTime: h.ModTime, AccessTime: h.AccessTime, Devmajor: h.Devmajor, Devminor: h.Devminor, PAXRecords: h.PAXRecords,
	}
}
