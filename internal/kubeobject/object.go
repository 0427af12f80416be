// Package kubeobject reads Kubernetes objects as JSON or YAML, alone or in
// lists, as far as this program wants to know them. It knows no cluster.
package kubeobject

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// ErrObject is wrapped by every error about an object that cannot be read.
var ErrObject = errors.New("object is not valid")

// Object is one object of the API with as much read of it as every kind has.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   Meta   `json:"metadata"`
	// Raw is the whole object as JSON, perhaps without managedFields.
	Raw json.RawMessage `json:"-"`

	// what Parse decoded with the head, where it knew the kind
	pod      *Pod
	workload *Workload
}

// Meta is what is read of an object's metadata.
type Meta struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace"`
	UID         string            `json:"uid"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Owners      []Owner           `json:"ownerReferences"`
}

// Owner is the object that made another one.
type Owner struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Parse reads the head of one object. kind and apiVersion are those of a typed
// list's items, which do not name their own; empty means that raw must. Parse
// keeps raw. Errors wrap ErrObject.
func Parse(raw []byte, apiVersion, kind string) (Object, error) {
	if err := jsonbound.Check(raw); err != nil {
		return Object{}, fmt.Errorf("%w: %w", ErrObject, err)
	}
	o, err := decode(raw, kind)
	if err != nil {
		return Object{}, fmt.Errorf("%w: %w", ErrObject, err)
	}
	if o.Kind == "" {
		o.Kind, o.APIVersion = kind, apiVersion
	}
	if o.Kind == "" {
		return Object{}, fmt.Errorf("%w: no kind", ErrObject)
	}
	o.Raw = raw
	return o, nil
}

// decode reads the head of an object and, of pods and what makes them, the body
// in the same pass: they are most of a cluster. A body of another shape is left
// to who asks for it.
func decode(raw []byte, kind string) (Object, error) {
	switch {
	case kind == "Pod":
		var v struct {
			Object
			Pod
		}
		if json.Unmarshal(raw, &v) == nil {
			v.Object.pod = &v.Pod
			return v.Object, nil
		}
	case templated(kind):
		var v struct {
			Object
			templateBody
		}
		if json.Unmarshal(raw, &v) == nil {
			v.Object.workload = v.workloadOf(kind)
			return v.Object, nil
		}
	}
	var o Object
	err := json.Unmarshal(raw, &o)
	return o, err
}

// Decode reads the parts of the object that into has fields for.
func (o Object) Decode(into any) error {
	if err := json.Unmarshal(o.Raw, into); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrObject, o, err)
	}
	return nil
}

// String is kind namespace/name.
func (o Object) String() string {
	if o.Metadata.Namespace == "" {
		return o.Kind + " " + o.Metadata.Name
	}
	return o.Kind + " " + o.Metadata.Namespace + "/" + o.Metadata.Name
}

// GroupKind is Kind for core kinds, Kind.group for others.
func (o Object) GroupKind() string {
	if group, _, ok := strings.Cut(o.APIVersion, "/"); ok {
		return o.Kind + "." + group
	}
	return o.Kind
}
