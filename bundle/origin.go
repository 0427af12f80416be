package bundle

// Origin says where a reference was found.
type Origin struct {
	// Source is the kind of source: "file", "cluster", "release", "store".
	Source string `json:"source"`
	// Name is the source's own name: a file's name and line, a release's tag.
	Name string `json:"name,omitempty"`
	// Kind, Namespace, Object and Container place it in a cluster.
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Object    string `json:"object,omitempty"`
	Container string `json:"container,omitempty"`
}

// String says for people where the image was found: "Deployment dns/resolver,
// container main", "file images.lst:3".
func (o Origin) String() string {
	where := o.Source
	if o.Kind != "" {
		where = o.Kind
	}
	object := o.Object
	if o.Namespace != "" {
		object = o.Namespace + "/" + o.Object
	}
	if object != "" {
		where += " " + object
	}
	switch {
	case o.Kind == "" && o.Name != "":
		return where + " " + o.Name
	case o.Container != "":
		where += ", container " + o.Container
	}
	if o.Name != "" {
		where += ", " + o.Name
	}
	return where
}
