package extract_test

import (
	"bytes"
	"io"
	"runtime"
	"testing"
	"weak"

	"github.com/nodeseal/nodeseal/internal/store/extract"
	. "github.com/nodeseal/nodeseal/internal/store/storetest"
	fork "github.com/vbatts/tar-split/archive/tar"
)

// forgotten is an extract.Tree that keeps nothing.
type forgotten struct{ names int }

func (t *forgotten) Create(*fork.Header, string, *extract.Content) error { t.names++; return nil }
func (t *forgotten) Whiteout(*fork.Header, string, string) error         { return nil }
func (t *forgotten) Opaque(string) error                                 { return nil }
func (t *forgotten) Root(*fork.Header) error                             { return nil }
func (t *forgotten) End() error                                          { return nil }

// TestResultsKeepNoLayer holds that who keeps the result of a layer does not keep what the reading of it
// took: an import keeps one for each layer, and with them it once kept the names of all files.
func TestResultsKeepNoLayer(t *testing.T) {
	plain := Tar(t, Dir("a/"), File("a/b", "content"))
	for name, read := range map[string]func(*extract.Extractor, extract.Tree) (*extract.Result, error){
		"scan": func(e *extract.Extractor, tree extract.Tree) (*extract.Result, error) {
			return e.Scan(t.Context(), bytes.NewReader(plain), tree, io.Discard, extract.Options{MaxSize: int64(len(plain))})
		},
		"replay": func(e *extract.Extractor, tree extract.Tree) (*extract.Result, error) {
			return e.Replay(t.Context(), bytes.NewReader(plain), tree, extract.Options{MaxSize: int64(len(plain))})
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := new(extract.Extractor)
			result, seen := func() (*extract.Result, weak.Pointer[forgotten]) {
				tree := new(forgotten)
				result, err := read(e, tree)
				if err != nil || tree.names == 0 {
					t.Fatal(tree.names, err)
				}
				return result, weak.Make(tree)
			}()
			runtime.GC()
			if seen.Value() != nil {
				t.Error("the result keeps the tree of the layer")
			}
			runtime.KeepAlive(result)
			runtime.KeepAlive(e)
		})
	}
}
