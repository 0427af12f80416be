package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	ignition "github.com/coreos/ignition/v2/config/v3_3"
	"github.com/vincent-petithory/dataurl"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
)

// TestSchemas: the objects are valid by the schemas of OpenShift's CRDs
// (testdata/crds, from github.com/openshift/api v0.0.0-20260420151639), and have
// no field that a server would drop.
func TestSchemas(t *testing.T) {
	t.Parallel()
	schemas := readSchemas(t)
	checked := 0
	for name, content := range everything(t) {
		for doc := range strings.SplitSeq(string(content), "---\n") {
			var object map[string]any
			if !strings.HasSuffix(name, ".yaml") || yaml.Unmarshal([]byte(doc), &object) != nil {
				continue
			}
			key := fmt.Sprint(object["apiVersion"], " ", object["kind"])
			if strings.HasPrefix(key, groupMachineConfig+"/v1alpha1") {
				key = strings.Replace(key, "v1alpha1", "v1", 1) // the same schema
			}
			schema := schemas[key]
			if schema == nil {
				if strings.Contains(key, "openshift.io") {
					t.Errorf("%s: no schema of %s", name, key)
				}
				continue
			}
			checked++
			result := validate.NewSchemaValidator(schema, nil, "", strfmt.Default).Validate(object)
			for _, err := range result.Errors {
				t.Errorf("%s: %v", name, err)
			}
			for _, field := range unknown(schema, object, "") {
				t.Errorf("%s: %s is not in the schema", name, field)
			}
		}
	}
	if checked != 5 {
		t.Errorf("%d objects were checked", checked)
	}
}

// TestSchemasRefuse: the schemas are held, not only read.
func TestSchemasRefuse(t *testing.T) {
	t.Parallel()
	schema := readSchemas(t)[groupMachineConfig+"/v1 PinnedImageSet"]
	object := map[string]any{"spec": map[string]any{"pinnedImages": []any{}, "more": 1}}
	if r := validate.NewSchemaValidator(schema, nil, "", strfmt.Default).Validate(object); r.IsValid() {
		t.Error("an empty list is taken")
	}
	if got := unknown(schema, object, ""); len(got) != 1 || got[0] != ".spec.more" {
		t.Errorf("unknown fields: %v", got)
	}
}

// readSchemas returns the schemas of the CRDs by apiVersion and kind.
func readSchemas(t *testing.T) map[string]*spec.Schema {
	t.Helper()
	paths, err := filepath.Glob("testdata/crds/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	schemas := map[string]*spec.Schema{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var crd struct {
			Spec struct {
				Group string
				Names struct{ Kind string }
				// Versions are those of the API.
				Versions []struct {
					Name   string
					Schema struct{ OpenAPIV3Schema json.RawMessage }
				}
			}
		}
		if err := yaml.Unmarshal(data, &crd); err != nil {
			t.Fatal(err)
		}
		for _, v := range crd.Spec.Versions {
			schema := new(spec.Schema)
			if err := json.Unmarshal(v.Schema.OpenAPIV3Schema, schema); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			schemas[crd.Spec.Group+"/"+v.Name+" "+crd.Spec.Names.Kind] = schema
		}
	}
	return schemas
}

// unknown returns the fields of v that the schema does not have.
func unknown(s *spec.Schema, v any, path string) (found []string) {
	switch v := v.(type) {
	case map[string]any:
		if keep, ok := s.Extensions.GetBool("x-kubernetes-preserve-unknown-fields"); ok && keep || path == ".metadata" {
			return nil
		}
		for key, value := range v {
			switch sub, ok := s.Properties[key]; {
			case ok:
				found = append(found, unknown(&sub, value, path+"."+key)...)
			case s.AdditionalProperties == nil:
				found = append(found, path+"."+key)
			}
		}
	case []any:
		for i, value := range v {
			found = append(found, unknown(s.Items.Schema, value, fmt.Sprintf("%s[%d]", path, i))...)
		}
	}
	sort.Strings(found)
	return found
}

// TestIgnition: a newer Ignition, as nodes have it, reads the configuration with
// no remark, and every file is on the node as it was given.
func TestIgnition(t *testing.T) {
	t.Parallel()
	s := settings(t)
	s.Registries = append(s.Registries, machine.File{Path: "/etc/odd", Mode: 0o600, Content: []byte("a+b %41 ü\x00\"'\n,;:#?&")})
	out, err := MachineConfig("worker", s)
	if err != nil {
		t.Fatal(err)
	}
	var mc struct {
		Spec struct{ Config json.RawMessage }
	}
	if err := yaml.Unmarshal(out, &mc); err != nil {
		t.Fatal(err)
	}
	config, report, err := ignition.ParseCompatibleVersion(mc.Spec.Config)
	if err != nil || len(report.Entries) > 0 {
		t.Fatalf("%v: %s", err, report.String())
	}
	files, err := s.Files()
	if err != nil {
		t.Fatal(err)
	}
	if len(config.Storage.Files) != len(files) {
		t.Fatalf("%d files, want %d", len(config.Storage.Files), len(files))
	}
	for i, f := range config.Storage.Files {
		data, err := dataurl.DecodeString(*f.Contents.Source)
		if err != nil {
			t.Fatal(err)
		}
		if f.Path != files[i].Path || *f.Mode != files[i].Mode || !bytes.Equal(data.Data, files[i].Content) {
			t.Errorf("%s %o %q, want %v", f.Path, *f.Mode, data.Data, files[i])
		}
	}
	again, err := MachineConfig("worker", s)
	if err != nil || !bytes.Equal(out, again) {
		t.Error("not the same twice")
	}
}
