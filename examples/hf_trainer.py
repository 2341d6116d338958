"""Hugging Face Trainer: a subclass that adds ConR to a regression head; texts are made here, nothing is downloaded."""

from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, BertConfig, Trainer, TrainingArguments, set_seed

from conr import Bins, ConRLoss, LabelDensity
from conr.metrics import regression_metrics

WORDS, LENGTH, PRAISE, HIGHEST = 60, 16, 10, 12  # the words 1 to 10 are praise


class ConRTrainer(Trainer):
    """A Trainer for models with one output, ``num_labels=1``."""

    def __init__(self, *arguments: Any, density: LabelDensity, coefficient: float, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.model_accepts_loss_kwargs = False  # a mean per batch: accumulated gradients are divided by the batches
        self.density = density.to(self.args.device)
        self.coefficient = coefficient
        self.regularizer = ConRLoss(window=0.5, temperature=0.2, distance_scale=1 / HIGHEST)

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:  # type: ignore[override]
        """The model's own loss, and while training ConR on the hidden state of the first token."""
        outputs = model(**inputs, output_hidden_states=model.training)
        loss = outputs.loss
        if model.training:
            features, labels = outputs.hidden_states[-1][:, 0], inputs["labels"]
            weights = self.density.weights(labels)
            loss = loss + self.coefficient * self.regularizer(features, labels, outputs.logits.squeeze(1), weights)
        return (loss, outputs) if return_outputs else loss


def make_texts(labels: Tensor) -> list[dict[str, Tensor]]:
    """Texts with as many words of praise as their label says, at random places, after a first token 0."""
    places = torch.rand(len(labels), LENGTH).argsort(dim=1) < labels.unsqueeze(1)  # (n, LENGTH)
    praise = torch.randint(1, 1 + PRAISE, places.shape)
    words = torch.where(places, praise, torch.randint(1 + PRAISE, WORDS, places.shape))
    words = torch.nn.functional.pad(words, (1, 0))
    return [{"input_ids": text, "labels": label} for text, label in zip(words, labels, strict=True)]


def few_shot_error(coefficient: float, epochs: float, density: LabelDensity, train: Any, test: Any) -> float:
    """Train and return the test error over rare labels."""
    set_seed(0)
    config = BertConfig(  # type: ignore[call-arg]
        vocab_size=WORDS, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, num_labels=1
    )
    model = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=32,  # ConR compares within a batch; two of them are a step
            gradient_accumulation_steps=2,
            learning_rate=3e-3,
            save_strategy="no",
            report_to="none",
            dataloader_pin_memory=torch.cuda.is_available(),
            disable_tqdm=True,
        )
        trainer = ConRTrainer(model, arguments, train_dataset=train, density=density, coefficient=coefficient)
        trainer.train()
        found = trainer.predict(test)
    predictions, labels = torch.from_numpy(found.predictions).squeeze(1), torch.tensor(found.label_ids)
    return regression_metrics(predictions, labels, density)["mae_few"]


def main(epochs: float = 20) -> None:
    """Train without and with ConR."""
    torch.manual_seed(0)
    labels = torch.distributions.Exponential(0.6).sample((1000,)).floor().clamp(max=HIGHEST)  # much praise is rare
    density = LabelDensity(Bins.by_width(width=1, low=0, high=HIGHEST + 1), scheme="sqrt_inverse").fit(labels)
    train, test = make_texts(labels), make_texts(torch.arange(HIGHEST + 1.0).repeat(20))
    for name, coefficient in (("without ConR", 0.0), ("with ConR", 1.0)):
        print(f"few-shot MAE {name}: {few_shot_error(coefficient, epochs, density, train, test):.2f} words")


if __name__ == "__main__":
    main()
