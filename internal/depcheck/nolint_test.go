package depcheck

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestExceptions holds that an exception from a linter names a linter that
// runs: nolintlint reports an unused exception only from those.
func TestExceptions(t *testing.T) {
	t.Parallel()
	enabled := enabledLinters(t)
	exception := regexp.MustCompile(`//nolint:([a-z,]+)`)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		data, err := os.ReadFile(path)
		for number, line := range strings.Split(string(data), "\n") {
			m := exception.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			for name := range strings.SplitSeq(m[1], ",") {
				if !slices.Contains(enabled, name) {
					t.Errorf("%s:%d: %s is not a linter that .golangci.yml enables", path, number+1, name)
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// enabledLinters returns the list linters.enable of .golangci.yml.
func enabledLinters(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("../../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Linters struct{ Enable []string }
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	return config.Linters.Enable
}
