package manifest

import (
	_ "embed" // the script
	"path"
	"regexp"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
)

// Namespace is where the DaemonSets run.
const Namespace = "nodeseal"

// installScript copies the program to the host and makes the slots there.
//
//go:embed install.sh
var installScript string

var imagePattern = regexp.MustCompile(`^[^\s/]+/\S+$`)

// Installer says what the DaemonSets run. Image must be set: one with the
// program, a shell, cp and nsenter. Program is the program's path in it, "" is
// /usr/local/bin/nodeseal.
type Installer struct {
	Image   string
	Program string
}

// DaemonSet returns the objects that put the program on the nodes of the pools
// while the cluster still has a registry, and make the empty slots, which must be
// there before a MachineConfig names them.
func DaemonSet(pools []string, in Installer, s machine.Settings) ([]byte, error) {
	if !imagePattern.MatchString(in.Image) {
		return nil, machine.Refuse("--image %q: want the image with nodeseal in it that the nodes can pull, as in registry.example/tools/nodeseal:1", in.Image)
	}
	if err := s.Check(); err != nil {
		return nil, err
	}
	labels := map[string]string{
		"pod-security.kubernetes.io/enforce":             "privileged",
		"pod-security.kubernetes.io/audit":               "privileged",
		"pod-security.kubernetes.io/warn":                "privileged",
		"security.openshift.io/scc.podSecurityLabelSync": "false",
	}
	objects := []any{
		corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: Namespace, Labels: labels}},
		corev1.ServiceAccount{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: object("installer")},
		rbacv1.RoleBinding{
			TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"}, ObjectMeta: object("installer-privileged"),
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:openshift:scc:privileged"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "installer", Namespace: Namespace}},
		},
	}
	for _, pool := range pools {
		if err := CheckPool(pool); err != nil {
			return nil, err
		}
		objects = append(objects, appsv1.DaemonSet{
			TypeMeta:   metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "DaemonSet"},
			ObjectMeta: object("installer-" + pool),
			Spec: appsv1.DaemonSetSpec{
				Selector: &metav1.LabelSelector{MatchLabels: podLabels(pool)},
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: podLabels(pool)}, Spec: in.pod(pool, s)},
			},
		})
	}
	return encode(objects...)
}

func object(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: Namespace}
}

func podLabels(pool string) map[string]string {
	return map[string]string{"app.kubernetes.io/name": "nodeseal-installer", "nodeseal/pool": pool}
}

// pod installs when it starts, and then does nothing: a node that is added gets
// one of its own.
func (in Installer) pod(pool string, s machine.Settings) corev1.PodSpec {
	program := in.Program
	if program == "" {
		program = "/usr/local/bin/nodeseal"
	}
	yes, grace := true, int64(1)
	directory := corev1.HostPathDirectoryOrCreate
	dir := path.Dir(nodeconfig.DefaultBinary)
	small := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")}
	return corev1.PodSpec{
		ServiceAccountName: "installer",
		NodeSelector:       map[string]string{labelNode + pool: ""},
		Tolerations:        []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		// The slots are made, and mounted, in the host's own mount namespace.
		HostPID:                       true,
		TerminationGracePeriodSeconds: &grace,
		Containers: []corev1.Container{{
			Name:    "install",
			Image:   in.Image,
			Command: []string{"/bin/sh", "-c", strings.TrimSpace(installScript)},
			Env: []corev1.EnvVar{
				{Name: "PROGRAM", Value: program}, {Name: "TARGET", Value: nodeconfig.DefaultBinary}, {Name: "ROOT", Value: s.Root},
			},
			SecurityContext: &corev1.SecurityContext{Privileged: &yes},
			Resources:       corev1.ResourceRequirements{Requests: small},
			VolumeMounts:    []corev1.VolumeMount{{Name: "bin", MountPath: "/host" + dir}},
		}},
		Volumes: []corev1.Volume{{
			Name: "bin", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir, Type: &directory}},
		}},
	}
}
