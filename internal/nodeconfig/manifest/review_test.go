package manifest

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestReview: beside the MachineConfig lies each of its files and units, byte for byte, and
// nothing that oc would apply.
func TestReview(t *testing.T) {
	t.Parallel()
	files, err := All(Options{Pools: []string{"worker"}, Version: version(t, "4.18"), Settings: settings(t)})
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	var config machineConfig
	for _, f := range files {
		switch {
		case strings.HasPrefix(f.Name, ReviewDir+"/"):
			texts[strings.TrimSuffix(strings.TrimPrefix(f.Name, ReviewDir), ".txt")] = string(f.Content)
			if slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(f.Name)) {
				t.Errorf("oc apply -R would take %s", f.Name)
			}
		case strings.HasPrefix(f.Name, "30-"):
			if err := yaml.Unmarshal(f.Content, &config); err != nil {
				t.Fatal(err)
			}
		}
	}
	held := make(map[string]string)
	for _, f := range config.Spec.Config.Storage.Files {
		text, err := url.PathUnescape(strings.TrimPrefix(*f.Contents.Source, "data:,"))
		if err != nil {
			t.Fatal(err)
		}
		held[f.Path] = text
	}
	for _, u := range config.Spec.Config.Systemd.Units {
		if u.Contents != nil {
			held["/etc/systemd/system/"+u.Name] = *u.Contents
		}
		for _, d := range u.Dropins {
			held["/etc/systemd/system/"+u.Name+".d/"+d.Name] = *d.Contents
		}
	}
	if len(held) < 8 || len(held) != len(texts) {
		t.Errorf("%d files and units, %d of them to review", len(held), len(texts))
	}
	for name, want := range held {
		if texts[name] != want {
			t.Errorf("%s is %q beside the MachineConfig, and %q in it", name, texts[name], want)
		}
	}
}
