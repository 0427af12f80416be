package kubeobject

// ImageStream is what is read of an ImageStream of image.openshift.io/v1.
type ImageStream struct {
	Spec struct {
		Tags []StreamTag `json:"tags"`
	} `json:"spec"`
	Status struct {
		Tags []struct {
			Tag string `json:"tag"`
			// Items are the imports of the tag, the last one first.
			Items []struct {
				Image string `json:"image"` // its digest
				Ref   string `json:"dockerImageReference"`
			} `json:"items"`
		} `json:"tags"`
	} `json:"status"`
}

// StreamTag says where a tag of an ImageStream comes from.
type StreamTag struct {
	Name string `json:"name"`
	From *struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
	} `json:"from"`
	Import struct {
		Scheduled bool `json:"scheduled"`
	} `json:"importPolicy"`
}
