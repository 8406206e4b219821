"""Figure 5: plant a trained ticket of known sparsity in an image network, prune and search.

    python -m experiments.vgg --data_dir=DIR --out=results/vgg
    python -m experiments.vgg --data_dir=DIR --preset=cpu --out=results/vgg-cpu
    python -m experiments.vgg --data_dir=DIR --dataset=mnist --model=lenet300 --preset=cpu

DIR has the official files of CIFAR-10, MNIST or Fashion-MNIST. Expect the results in
docs/reproduction.md. --preset=full is for an accelerator; --preset=cpu takes about 20 minutes on
two cores. An interrupted command resumes with the first unfinished run.
"""

from ticketjax.commands import vgg
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(vgg)
