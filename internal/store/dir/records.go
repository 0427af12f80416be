package dir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/rmtree"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"github.com/nodeseal/nodeseal/internal/store/extract"
)

// A record says that the contents of one layer are finished and proven:
// records/LAYERID. It is written after the last byte of the layer. A process
// that is killed loses nothing that it wrote, so a record counts during the
// boot in which it was made. A power cut does lose what was not synced, so
// after a sync of the file system the record is renamed to LAYERID.synced: that
// one counts for ever.
type record struct {
	// Format names the rules by which the layer was extracted.
	Format string `json:"format"`
	// Boot is the kernel's ID of the boot.
	Boot   string          `json:"boot"`
	UserNS bool            `json:"userNamespace,omitempty"`
	Layer  *extract.Result `json:"layer"`
}

const (
	recordFormat = "nodeseal layer record v1"
	syncedSuffix = ".synced"
)

func (im *importer) recordPath(l *store.Layer) string { return filepath.Join(im.partial.records, l.ID) }

// writeRecord records that the content of j is finished.
func (im *importer) writeRecord(j *build.Job) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	data, err := json.Marshal(record{Format: recordFormat, Boot: boot, UserNS: im.userNS, Layer: j.Done})
	if err != nil {
		return fmt.Errorf("encoding record: %w", err)
	}
	// A torn record is none: it is not JSON.
	if err := os.WriteFile(im.recordPath(j.First()), data, 0o600); err != nil {
		return fmt.Errorf("recording a finished layer: %w", err)
	}
	return nil
}

// maxRecord bounds a record: it names layerrules.MaxOwners users and groups at the most.
const maxRecord = 4 << 20

// readRecord returns the record of the content of j, nil where there is none
// that counts.
func (im *importer) readRecord(j *build.Job) (*extract.Result, error) {
	path := im.recordPath(j.First())
	data, err := safefile.ReadFile(path+syncedSuffix, maxRecord)
	synced := err == nil
	if errors.Is(err, fs.ErrNotExist) {
		data, err = safefile.ReadFile(path, maxRecord)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // there is none
	}
	if err != nil {
		return nil, fmt.Errorf("reading record: %w", err)
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	var r record
	if json.Unmarshal(data, &r) != nil || r.Format != recordFormat || r.UserNS != im.userNS || r.Layer == nil ||
		r.Layer.DiffID != j.First().DiffID || (!synced && r.Boot != boot) {
		return nil, nil // it does not count
	}
	return r.Layer, nil
}

// bootID returns what the kernel calls this boot.
func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading the boot's ID: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// takeOver keeps what an earlier run has finished and removes everything else
// that it left.
func (im *importer) takeOver() error {
	if err := removePaths(
		filepath.Join(im.partial.store, store.LinkDir),
		filepath.Join(im.partial.store, store.ImagesDir),
		filepath.Join(im.partial.store, store.OwnDir)); err != nil {
		return err
	}
	keep := make(map[string]bool)
	over := 0
	for _, j := range im.jobs {
		l := j.First()
		result, err := im.readRecord(j)
		if err != nil {
			return err
		}
		// A run that was killed between the rename and the end leaves records of
		// layers that have gone into the finished store.
		if result == nil || !exist(im.partial.store, store.DiffDir(l.ID), store.TarSplitFile(l.ID)) {
			continue
		}
		j.Done = result
		j.TakenOver = true
		over++
		for _, name := range []string{l.ID, l.ID + syncedSuffix, filepath.Base(store.TarSplitFile(l.ID))} {
			keep[name] = true
		}
	}
	if err := im.removeOthers(keep); err != nil {
		return err
	}
	if over > 0 {
		im.opts.Progress.Say(fmt.Sprintf("layers finished by an earlier run: %d", over))
	}
	return nil
}

// removeOthers removes what an earlier run has left and is not in keep. The records go first,
// and are gone on the disk before a layer is: one that is removed in part must not have a record.
func (im *importer) removeOthers(keep map[string]bool) error {
	for _, dir := range []string{
		im.partial.records, filepath.Join(im.partial.store, store.OverlayDir), filepath.Join(im.partial.store, store.LayersDir),
	} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("looking for left-overs: %w", err)
		}
		for _, e := range entries {
			if keep[e.Name()] {
				continue
			}
			if err := removePaths(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
		if len(entries) > 0 && dir == im.partial.records {
			if err := atomicfile.SyncDir(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func removePaths(paths ...string) error {
	for _, p := range paths {
		if err := rmtree.RemoveAll(p); err != nil {
			return fmt.Errorf("removing left-overs: %w", err)
		}
	}
	return nil
}
