package kubeobject

// PodSpec is what is read of a pod's specification.
type PodSpec struct {
	NodeName            string            `json:"nodeName"`
	NodeSelector        map[string]string `json:"nodeSelector"`
	InitContainers      []Container       `json:"initContainers"`
	Containers          []Container       `json:"containers"`
	EphemeralContainers []Container       `json:"ephemeralContainers"`
	Volumes             []Volume          `json:"volumes"`
}

// Container is what is read of a container.
type Container struct {
	Name            string   `json:"name"`
	Image           string   `json:"image"`
	ImagePullPolicy string   `json:"imagePullPolicy"`
	Command         []string `json:"command"`
	Args            []string `json:"args"`
	Env             []EnvVar `json:"env"`
}

// EnvVar is an environment variable with a value of its own.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Volume is a volume whose content is an image.
type Volume struct {
	Name  string `json:"name"`
	Image *struct {
		Reference  string `json:"reference"`
		PullPolicy string `json:"pullPolicy"`
	} `json:"image"`
}

// Template is the pod template of a workload.
type Template struct {
	Metadata Meta    `json:"metadata"`
	Spec     PodSpec `json:"spec"`
}

// PodStatus is what is read of a pod's status.
type PodStatus struct {
	Phase                      string            `json:"phase"`
	InitContainerStatuses      []ContainerStatus `json:"initContainerStatuses"`
	ContainerStatuses          []ContainerStatus `json:"containerStatuses"`
	EphemeralContainerStatuses []ContainerStatus `json:"ephemeralContainerStatuses"`
}

// ContainerStatus says what runs in a container.
type ContainerStatus struct {
	Name    string `json:"name"`
	Image   string `json:"image"`
	ImageID string `json:"imageID"`
}

// Pod is what is read of a pod.
type Pod struct {
	Spec   PodSpec   `json:"spec"`
	Status PodStatus `json:"status"`
}

// All returns the containers of the pod: initial ones first, ephemeral ones last.
func (s PodSpec) All() []Container {
	all := make([]Container, 0, len(s.InitContainers)+len(s.Containers)+len(s.EphemeralContainers))
	all = append(all, s.InitContainers...)
	all = append(all, s.Containers...)
	return append(all, s.EphemeralContainers...)
}

// Workload is an object that makes pods.
type Workload struct {
	Template Template
	// Replicas is nil where the kind has none.
	Replicas *int64
}

// templateBody is where the kinds that make pods have their template.
type templateBody struct {
	Spec struct {
		Replicas    *int64   `json:"replicas"`
		Template    Template `json:"template"`
		JobTemplate struct {
			Spec struct {
				Template Template `json:"template"`
			} `json:"spec"`
		} `json:"jobTemplate"`
	} `json:"spec"`
	Template Template `json:"template"`
}

// templated reports kinds that make pods.
func templated(kind string) bool {
	switch kind {
	case "Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job", "CronJob",
		"ReplicationController", "DeploymentConfig", "PodTemplate":
		return true
	}
	return false
}

// workloadOf returns the body of a kind that makes pods.
func (b *templateBody) workloadOf(kind string) *Workload {
	switch kind {
	case "CronJob":
		return &Workload{Template: b.Spec.JobTemplate.Spec.Template}
	case "PodTemplate":
		return &Workload{Template: b.Template}
	}
	return &Workload{b.Spec.Template, b.Spec.Replicas}
}

// Template returns what the object makes pods of; ok is false where the kind
// makes none.
func (o Object) Template() (w Workload, ok bool, err error) {
	switch {
	case o.workload != nil:
		return *o.workload, true, nil
	case !templated(o.Kind):
		return Workload{}, false, nil
	}
	var b templateBody
	err = o.Decode(&b)
	return *b.workloadOf(o.Kind), true, err
}

// Pod returns the object as a pod; ok is false where it is none.
func (o Object) Pod() (p Pod, ok bool, err error) {
	switch {
	case o.pod != nil:
		return *o.pod, true, nil
	case o.Kind != "Pod":
		return Pod{}, false, nil
	}
	err = o.Decode(&p)
	return p, true, err
}
